/*
** From syntax to a program: places for registers and variables, constants, labels; calls become the code of
** the function called, once for each place it is called from, so that one counter says where a lane is.
*/
#include "ptx/decode.h"
#include "ptx/machine.h"

#include <algorithm>

namespace cudasim::ptx {

namespace {

size_t rounded_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

const std::map<std::string_view, Special> special_names = {
    {"%tid.x", Special::tid_x},
    {"%tid.y", Special::tid_y},
    {"%tid.z", Special::tid_z},
    {"%ntid.x", Special::ntid_x},
    {"%ntid.y", Special::ntid_y},
    {"%ntid.z", Special::ntid_z},
    {"%ctaid.x", Special::ctaid_x},
    {"%ctaid.y", Special::ctaid_y},
    {"%ctaid.z", Special::ctaid_z},
    {"%nctaid.x", Special::nctaid_x},
    {"%nctaid.y", Special::nctaid_y},
    {"%nctaid.z", Special::nctaid_z},
    {"%laneid", Special::laneid},
    {"%warpid", Special::warpid},
    {"%nwarpid", Special::nwarpid},
    {"%lanemask_eq", Special::lanemask_eq},
    {"%lanemask_lt", Special::lanemask_lt},
    {"%lanemask_le", Special::lanemask_le},
    {"%lanemask_gt", Special::lanemask_gt},
    {"%lanemask_ge", Special::lanemask_ge},
    {"%dynamic_smem_size", Special::dynamic_smem_size},
    {"%total_smem_size", Special::total_smem_size},
};

void trap(Warp &w, const Instruction &i, Mask m) {
  w.fail(i, static_cast<unsigned>(__builtin_ctz(m)), "trap", "the kernel executed a trap");
}

void failed_assertion(Warp &w, const Instruction &i, Mask m) {
  w.fail(i, static_cast<unsigned>(__builtin_ctz(m)), "trap", "assertion failed");
}

const Opcodes &opcodes() {
  /* Outlives what runs at exit: coverage makes kernels ready. */
  static const Opcodes &table = *new Opcodes([] {
    Opcodes t;
    add_arithmetic(t), add_functions(t), add_integers(t), add_comparisons(t), add_conversions(t);
    add_moves(t), add_memory(t), add_atomics(t), add_collectives(t);
    t["bra"] = [](Decoder &d) {
      d.has("uni");
      d.out.flow = Flow::branch;
      d.out.target = d.names().label(d.operand(0).text);
    };
    t["exit"] = [](Decoder &d) { d.out.flow = Flow::leave; };
    t["trap"] = [](Decoder &d) { d.run(trap); };
    t["nanosleep"] = [](Decoder &d) {
      d.has("u32");
      d.run([](Warp &, const Instruction &, Mask) {});
    };
    return t;
  }());
  return table;
}

class Assembler : public Names {
public:
  Assembler(const Syntax &s, const Variables &v) : module(s), variables(v) {}

  Program run(const Function &f) {
    program.name = f.name;
    program.files = &module.files;
    program.max_threads = f.max_threads;
    program.shared = {{"", 0}, {"dynamic shared memory", 0}};
    std::map<std::string, Place> parameters;
    for (const Declaration &d : f.parameters) {
      size_t at = rounded_up(program.parameter_bytes(), d.alignment);
      program.parameters.push_back({at, d.size});
      parameters[d.name] = {at, Space::param};
    }
    body(f, std::move(parameters));
    resolve_labels();
    return std::move(program);
  }

  bool find_register(const std::string &name, Register *r, Type *type) override {
    const std::vector<Scope> &scopes = frame->scopes;
    for (auto s = scopes.rbegin(); s != scopes.rend(); ++s) {
      auto found = s->registers.find(name);
      if (found == s->registers.end()) continue;
      *r = found->second.at;
      *type = found->second.type;
      return true;
    }
    return false;
  }

  bool find_special(const std::string &name, Register *r) override {
    auto found = special_names.find(name);
    if (found == special_names.end()) return false;
    for (const SpecialRegister &s : program.specials)
      if (s.which == found->second) return *r = s.at, true;
    *r = place_register(4);
    program.specials.push_back({*r, found->second});
    return true;
  }

  bool find_variable(const std::string &name, uint64_t *address, Space *space) override {
    const std::vector<Scope> &scopes = frame->scopes;
    for (auto s = scopes.rbegin(); s != scopes.rend(); ++s) {
      auto found = s->variables.find(name);
      if (found == s->variables.end()) continue;
      *address = found->second.address;
      *space = found->second.space;
      return true;
    }
    for (const Declaration &d : module.variables) {
      if (d.name != name) continue;
      *space = d.space;
      if (d.space == Space::shared) {
        *address = shared("", d);
        return true;
      }
      auto found = variables.find(name);
      if (found == variables.end()) return false;
      *address = found->second;
      return true;
    }
    return false;
  }

  Register constant(uint64_t value, unsigned bytes) override {
    if (bytes == 0)
      value = value != 0;
    else if (bytes < 8)
      value &= (uint64_t{1} << bytes * 8) - 1;
    auto [found, fresh] = constants.insert({{value, bytes}, 0});
    if (fresh) {
      found->second = place_register(bytes);
      program.constants.push_back({found->second, static_cast<uint8_t>(bytes), value});
    }
    return found->second;
  }

  Register scratch() override {
    if (unwanted == no_register) unwanted = place_register(8);
    return unwanted;
  }

  uint32_t label(const std::string &name) override {
    auto [found, fresh] = frame->labels.insert({name, 0});
    if (fresh) found->second = new_label(name);
    return found->second;
  }

private:
  struct Place {
    uint64_t address;
    Space space;
  };
  struct Scope {
    struct Named {
      Register at;
      Type type;
    };
    std::map<std::string, Named> registers;
    std::map<std::string, Place> variables;
  };
  /* A function that is being assembled. */
  struct Frame {
    const Function *function;
    Frame *caller;
    std::vector<Scope> scopes;
    std::map<std::string, uint32_t> labels, branch_targets;
    uint32_t end; /* label */
  };
  struct Label {
    std::string name;
    bool defined;
    uint32_t position;
  };

  Register
  place_register(unsigned bytes) { /* a vector of the machine never crosses into the next */
    Register r = program.register_bytes;
    program.register_bytes += static_cast<Register>(rounded_up(std::max(bytes * lanes, 4u), 64));
    return r;
  }

  uint32_t new_label(const std::string &name) {
    labels.push_back({name, false, 0});
    return static_cast<uint32_t>(labels.size() - 1);
  }
  void define(uint32_t label_number) {
    Label &l = labels[label_number];
    if (l.defined) throw Error("PTX: the label " + l.name + " is defined twice in " + program.name);
    l.defined = true;
    l.position = static_cast<uint32_t>(program.code.size());
  }

  void resolve_labels() {
    auto position = [&](uint32_t number) {
      if (!labels[number].defined)
        throw Error("PTX: unknown label " + labels[number].name + " in " + program.name);
      return labels[number].position;
    };
    for (Instruction &i : program.code) {
      if (i.flow == Flow::branch) i.target = position(i.target);
      for (uint32_t &t : i.targets) t = position(t);
    }
  }

  /* The code of a function; `known` are its parameters and results. It ends with `leave` in an entry, and
  ** at its end label in others. */
  void body(const Function &f, std::map<std::string, Place> known) {
    for (const Frame *up = frame; up != nullptr; up = up->caller)
      if (up->function == &f) throw Error("PTX: " + f.name + " calls itself: not supported");
    Frame mine = {&f, frame, {{}}, {}, {}, new_label("end of " + f.name)};
    mine.scopes[0].variables = std::move(known);
    frame = &mine;
    const std::vector<Statement> statements = statements_of(f);
    for (const Statement &s : statements)
      if (s.kind == Statement::branch_targets) branch_targets(s);
    for (const Statement &s : statements) statement(s);
    define(mine.end);
    if (f.entry) {
      Instruction end;
      end.flow = Flow::leave;
      end.text = "end of the kernel";
      program.code.push_back(std::move(end));
    }
    frame = mine.caller;
  }

  void statement(const Statement &s) {
    switch (s.kind) {
    case Statement::open:
      frame->scopes.emplace_back();
      break;
    case Statement::close:
      frame->scopes.pop_back();
      break;
    case Statement::label:
      define(label(s.name));
      break;
    case Statement::reg:
      registers(s.declaration);
      break;
    case Statement::variable:
      frame->scopes.back().variables[s.declaration.name] = place(s.declaration);
      break;
    case Statement::branch_targets:
      break;
    case Statement::call:
      call(s);
      break;
    case Statement::opcode:
      opcode(s.op);
      break;
    }
  }

  void registers(const Declaration &d) {
    if (bytes(d.type) == 1) throw Error("PTX: registers of 8 bits are not supported: " + d.name);
    for (unsigned k = 0; k < std::max(d.count, 1u); k++) {
      std::string name = d.count == 0 ? d.name : d.name + std::to_string(k);
      frame->scopes.back().registers[name] = {place_register(bytes(d.type)), d.type};
    }
  }

  Place place(const Declaration &d) {
    switch (d.space) {
    case Space::shared:
      return {shared(frame->function->name, d), Space::shared};
    case Space::local:
    case Space::param: { /* of a call */
      size_t at = rounded_up(program.local_bytes, std::max<size_t>(d.alignment, 16));
      program.local_bytes = at + d.size;
      return {at, Space::local};
    }
    default:
      throw Error("PTX: variables of this space are not supported in a function: " + d.name);
    }
  }

  /* There is one of each, however often the function it lies in is inlined. */
  uint64_t shared(const std::string &function, const Declaration &d) {
    if (d.external) return uint64_t{dynamic_shared} << shared_shift;
    auto [found, fresh] = shared_numbers.insert({{function, d.name}, program.shared.size()});
    if (fresh) program.shared.push_back({d.name, d.size});
    return uint64_t{found->second} << shared_shift;
  }

  void branch_targets(const Statement &s) {
    frame->branch_targets[s.name] = static_cast<uint32_t>(target_lists.size());
    std::vector<uint32_t> list;
    for (const std::string &t : s.targets) list.push_back(label(t));
    target_lists.push_back(std::move(list));
  }

  void opcode(const Opcode &op) {
    Decoder d(op, *this);
    if (op.words[0] == "ret") {
      d.has("uni");
      d.out.flow = frame->function->entry ? Flow::leave : Flow::branch;
      d.out.target = frame->end;
    } else if (op.words[0] == "brx") {
      if (!d.has("idx")) d.fail("unknown opcode");
      d.has("uni");
      d.out.flow = Flow::indexed;
      d.out.from[0] = d.read(0, Type::u32);
      auto found = frame->branch_targets.find(d.operand(1).text);
      if (found == frame->branch_targets.end()) d.fail("unknown branch targets");
      d.out.targets = target_lists[found->second];
    } else {
      auto found = opcodes().find(op.words[0]);
      if (found == opcodes().end()) d.fail("unknown opcode");
      found->second(d);
    }
    d.finish();
    add(std::move(d.out));
  }

  /* What lies in a header of the toolkit counts as the line that calls it. */
  void add(Instruction i) {
    Location &at = i.location;
    if (at.inlined_file != 0 && is_of_toolkit(program.file(at.file)))
      at = {at.inlined_file, at.inlined_line, 0, 0};
    program.code.push_back(std::move(i));
  }
  static bool is_of_toolkit(const std::string &path) {
    return path.find("cuda") != std::string::npos && path.find("/include/") != std::string::npos;
  }

  void call(const Statement &s) {
    Decoder d(s.op, *this);
    d.has("uni");
    d.finish();
    const uint32_t after = new_label("after a call");
    if (s.callee.function == "__assertfail") {
      d.run(failed_assertion);
      add(std::move(d.out));
      return;
    }
    auto found = module.functions.find(s.callee.function);
    if (found == module.functions.end() || !found->second.defined) d.fail("unknown function");
    const Function &f = found->second;
    if (s.callee.results.size() != f.results.size() ||
        s.callee.arguments.size() != f.parameters.size())
      d.fail("a call that does not fit the function");
    if (d.out.guard != no_register) { /* the others go round */
      Instruction around = d.out;
      around.flow = Flow::branch;
      around.guard_negated = !around.guard_negated;
      around.target = after;
      add(std::move(around));
    }
    std::map<std::string, Place> known;
    for (size_t k = 0; k < f.results.size(); k++)
      known[f.results[k].name] = argument(d, s.callee.results[k]);
    for (size_t k = 0; k < f.parameters.size(); k++)
      known[f.parameters[k].name] = argument(d, s.callee.arguments[k]);
    body(f, std::move(known));
    define(after);
  }

  Place argument(const Decoder &d, const std::string &name) {
    Place p;
    if (!find_variable(name, &p.address, &p.space)) d.fail("unknown variable '" + name + "'");
    return p;
  }

  const Syntax &module;
  const Variables &variables;
  Program program;
  Frame *frame = nullptr;
  std::vector<Label> labels;
  std::vector<std::vector<uint32_t>> target_lists;
  std::map<std::pair<uint64_t, unsigned>, Register> constants;
  std::map<std::pair<std::string, std::string>, size_t> shared_numbers;
  Register unwanted = no_register;
};

} // namespace

std::string Program::file(unsigned number) const {
  auto found = files->find(number);
  return found == files->end() ? "?" : found->second;
}

Program assemble(const Syntax &module, const Function &f, const Variables &variables) {
  return Assembler(module, variables).run(f);
}

} // namespace cudasim::ptx
