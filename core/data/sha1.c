#include "data/sha1.h"

#include <string.h>

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* Takes one block of 64 bytes into the state. */
static void compress(uint32_t state[5], const unsigned char *p) {
  uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (int t = 0; t < 16; t++)
    w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 |
           p[4 * t + 3];
  for (int t = 16; t < 80; t++) w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
  for (int t = 0; t < 80; t++) {
    uint32_t f, k;
    if (t < 20) {
      f = (b & c) | (~b & d);
      k = 0x5a827999;
    } else if (t < 40) {
      f = b ^ c ^ d;
      k = 0x6ed9eba1;
    } else if (t < 60) {
      f = (b & c) | (b & d) | (c & d);
      k = 0x8f1bbcdc;
    } else {
      f = b ^ c ^ d;
      k = 0xca62c1d6;
    }
    f += rotate(a, 5) + e + k + w[t];
    e = d;
    d = c;
    c = rotate(b, 30);
    b = a;
    a = f;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
}

void cvl_sha1_init(cvl_sha1 *s) {
  *s = (cvl_sha1){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

void cvl_sha1_add(cvl_sha1 *s, const void *data, size_t size) {
  const unsigned char *p = data;
  size_t held = s->bytes % 64;
  s->bytes += size;
  while (size > 0) {
    size_t n = 64 - held < size ? 64 - held : size;
    if (n == 64) {
      compress(s->state, p);
    } else {
      memcpy(s->block + held, p, n);
      if (held + n == 64) compress(s->state, s->block);
    }
    held = (held + n) % 64;
    p += n;
    size -= n;
  }
}

void cvl_sha1_end(cvl_sha1 *s, char text[CVL_SHA1_TEXT]) {
  static const unsigned char pad[64] = {0x80};
  static const char digits[] = "0123456789abcdef";
  uint64_t bits = s->bytes * 8;
  unsigned char length[8];
  for (int i = 0; i < 8; i++) length[i] = (unsigned char)(bits >> (56 - 8 * i));
  cvl_sha1_add(s, pad, 1 + (119 - s->bytes % 64) % 64); /* up to 56 bytes modulo 64 */
  cvl_sha1_add(s, length, sizeof length);
  for (int i = 0; i < 40; i++) text[i] = digits[s->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
  text[40] = '\0';
}

void cvl_sha1_of(const void *data, size_t size, char text[CVL_SHA1_TEXT]) {
  cvl_sha1 s;
  cvl_sha1_init(&s);
  cvl_sha1_add(&s, data, size);
  cvl_sha1_end(&s, text);
}
