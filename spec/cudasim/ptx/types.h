/* The fundamental types of PTX, and the C++ types that hold one lane of them. */
#ifndef CUDASIM_PTX_TYPES_H
#define CUDASIM_PTX_TYPES_H

#include <cstdint>
#include <string_view>

namespace cudasim::ptx {

enum class Type : uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  bf16,
  f32,
  f64,
  f16x2,
  bf16x2,
};

Type type_named(std::string_view name); /* "u32"; Type::none when it is not the name of a type */
const char *name(Type t);
unsigned bytes(Type t);  /* 0 for pred: a predicate is one bit of a mask */
bool is_signed(Type t);  /* s8 to s64 */
bool is_float(Type t);   /* f16, bf16, f32, f64: what cvt rounds */
bool is_integer(Type t); /* b, u or s */
Type unsigned_of(unsigned bytes);

/* A lane of an f16 or bf16 register; see float16.h for what can be done with it. */
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

} // namespace cudasim::ptx

#endif
