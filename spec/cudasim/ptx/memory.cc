/* ld and st of every space and width, vectors too; fences and prefetches. */
#include "ptx/access.h"
#include "ptx/decode.h"

#include <cstring>

namespace cudasim::ptx {

namespace {

/* One element for each lane: T in memory, R in the register, which may be wider. */
template <class T, class R>
void load_element(Warp &w, Register to, Mask m, const Places &p, size_t offset) {
  R *r = w.lanes_of<R>(to);
  each(m, [&](unsigned l) {
    T value;
    std::memcpy(&value, p.at[l] + offset, sizeof value);
    r[l] = static_cast<R>(value);
  });
}

template <class T, class R> void load(Warp &w, const Instruction &i, Mask m) {
  Places p;
  const unsigned size = sizeof(T) * i.count;
  locate(w, i, m, size, Access::read, &p);
  if (i.count == 1) return load_element<T, R>(w, i.list[0], m, p, 0);
  for (unsigned k = 0; k < i.count; k++) load_element<T, R>(w, i.list[k], m, p, k * sizeof(T));
}

template <class T, class R> void store(Warp &w, const Instruction &i, Mask m) {
  Places p;
  locate(w, i, m, sizeof(T) * i.count, Access::write, &p);
  for (unsigned k = 0; k < i.count; k++) {
    const R *r = w.lanes_of<R>(i.list[k]);
    each(m, [&](unsigned l) {
      const T value = static_cast<T>(r[l]);
      std::memcpy(p.at[l] + k * sizeof(T), &value, sizeof value);
    });
  }
}

/* Memory of T into registers of 2, 4 or 8 bytes. */
template <class T> Handler load_handler(unsigned register_bytes) {
  switch (register_bytes) {
  case 2:
    return sizeof(T) <= 2 ? load<T, uint16_t> : nullptr;
  case 4:
    return sizeof(T) <= 4 ? load<T, uint32_t> : nullptr;
  default:
    return load<T, uint64_t>;
  }
}
template <class T> Handler store_handler(unsigned register_bytes) {
  switch (register_bytes) {
  case 2:
    return sizeof(T) <= 2 ? store<T, uint16_t> : nullptr;
  case 4:
    return sizeof(T) <= 4 ? store<T, uint32_t> : nullptr;
  default:
    return store<T, uint64_t>;
  }
}

Handler load_handler(Type t, unsigned width) {
  switch (bytes(t)) {
  case 1:
    return is_signed(t) ? load_handler<int8_t>(width) : load_handler<uint8_t>(width);
  case 2:
    return is_signed(t) ? load_handler<int16_t>(width) : load_handler<uint16_t>(width);
  case 4:
    return is_signed(t) ? load_handler<int32_t>(width) : load_handler<uint32_t>(width);
  case 8:
    return load_handler<uint64_t>(width);
  default:
    return nullptr;
  }
}
Handler store_handler(Type t, unsigned width) {
  switch (bytes(t)) {
  case 1:
    return store_handler<uint8_t>(width);
  case 2:
    return store_handler<uint16_t>(width);
  case 4:
    return store_handler<uint32_t>(width);
  case 8:
    return store_handler<uint64_t>(width);
  default:
    return nullptr;
  }
}

/* Space, count and how strong the access is; hints to the caches are taken and change nothing. */
Type access_modifiers(Decoder &d) {
  constexpr Space spaces[] = {Space::global, Space::shared,   Space::shared,
                              Space::local,  Space::param,    Space::param,
                              Space::param,  Space::constant, Space::generic};
  d.out.space = spaces[d.one_of(
      {"global", "shared", "shared::cta", "local", "param", "param::entry", "param::func", "const"},
      8)];
  d.out.volatile_access = d.has("volatile") || d.has("relaxed") || d.has("acquire") ||
                          d.has("release") || d.has("mmio");
  d.has("weak");
  d.one_of({"cta", "cluster", "gpu", "sys"}, 0);
  d.has("nc");
  d.one_of({"ca", "cg", "cs", "lu", "cv", "wb", "wt"}, 0);
  d.one_of({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
            "L1::no_allocate"},
           0);
  d.one_of({"L2::64B", "L2::128B", "L2::256B"}, 0);
  d.out.count = d.has("v2") ? 2 : d.has("v4") ? 4 : 1;
  return d.type();
}

void elements(Decoder &d, size_t k, Type t, bool writes) {
  std::vector<Operand> list = {d.operand(k)};
  if (d.out.count > 1) list = d.operand(k).elements;
  if (list.size() != d.out.count) d.fail("the number of elements is not that of the vector");
  for (size_t n = 0; n < list.size(); n++) {
    uint8_t width;
    d.out.list[n] = writes ? d.write_wider(list[n], t, &width) : d.read_wider(list[n], t, &width);
    if (n > 0 && width != d.out.to_bytes) d.fail("elements of different widths");
    d.out.to_bytes = width;
  }
}

/* What a store reads must be at least 16 bits wide to be a register. */
Type at_least_16_bits(Type t) { return bytes(t) == 1 ? Type::u16 : t; }

void ld(Decoder &d) {
  const Type t = access_modifiers(d);
  d.operands(2, 2);
  elements(d, 0, at_least_16_bits(t), true);
  d.address(1, 0);
  d.run(load_handler(t, d.out.to_bytes));
}

void st(Decoder &d) {
  const Type t = access_modifiers(d);
  d.operands(2, 2);
  d.address(0, 0);
  elements(d, 1, at_least_16_bits(t), false);
  d.run(store_handler(t, d.out.to_bytes));
}

void nothing(Warp &, const Instruction &, Mask) {}

/* Blocks run one after the other and every store is done at once: a fence has nothing to order. */
void fence(Decoder &d) {
  d.one_of({"gl", "cta", "sys", "gpu", "cluster"}, 0);
  d.one_of({"sc", "acq_rel", "acquire", "release"}, 0);
  d.run(nothing);
}

} // namespace

void add_memory(Opcodes &table) {
  table["ld"] = table["ldu"] = ld;
  table["st"] = st;
  table["membar"] = table["fence"] = fence;
}

} // namespace cudasim::ptx
