#include "ptx/types.h"

#include <cstddef>

namespace cudasim::ptx {

namespace {

struct Row {
  const char *name;
  unsigned bytes;
  char kind; /* p predicate, b bits, u unsigned, s signed, f float, x packed floats */
};

/* In the order of Type. */
const Row rows[] = {
    {"none", 0, ' '}, {"pred", 0, 'p'}, {"b8", 1, 'b'},  {"b16", 2, 'b'},   {"b32", 4, 'b'},
    {"b64", 8, 'b'},  {"u8", 1, 'u'},   {"u16", 2, 'u'}, {"u32", 4, 'u'},   {"u64", 8, 'u'},
    {"s8", 1, 's'},   {"s16", 2, 's'},  {"s32", 4, 's'}, {"s64", 8, 's'},   {"f16", 2, 'f'},
    {"bf16", 2, 'f'}, {"f32", 4, 'f'},  {"f64", 8, 'f'}, {"f16x2", 4, 'x'}, {"bf16x2", 4, 'x'},
};

const Row &row(Type t) { return rows[static_cast<size_t>(t)]; }

} // namespace

Type type_named(std::string_view wanted) {
  for (size_t i = 1; i < sizeof rows / sizeof *rows; i++)
    if (wanted == rows[i].name) return static_cast<Type>(i);
  return Type::none;
}

const char *name(Type t) { return row(t).name; }

unsigned bytes(Type t) { return row(t).bytes; }

bool is_signed(Type t) { return row(t).kind == 's'; }

bool is_float(Type t) { return row(t).kind == 'f'; }

bool is_integer(Type t) { return row(t).kind == 'b' || row(t).kind == 'u' || row(t).kind == 's'; }

Type unsigned_of(unsigned n) {
  return n == 1 ? Type::u8 : n == 2 ? Type::u16 : n == 4 ? Type::u32 : Type::u64;
}

} // namespace cudasim::ptx
