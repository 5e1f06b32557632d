/* Reads the text of a PTX module: PTX ISA 9.0, the part of it that nvcc writes. */
#include "engine.h"
#include "ptx/lexer.h"
#include "ptx/syntax.h"

#include <cstdlib>
#include <cstring>

namespace cudasim::ptx {

namespace {

/* ".reg.b16" and ".reg .b16" say the same: the parts between the dots. */
std::vector<std::string> parts_of(std::string_view word) {
  std::vector<std::string> list;
  size_t start = word[0] == '.';
  for (;;) {
    size_t dot = word.find('.', start);
    list.emplace_back(word.substr(start, dot - start));
    if (dot == std::string_view::npos) return list;
    start = dot + 1;
  }
}

bool space_named(std::string_view word, Space *space) {
  static const std::map<std::string_view, Space> names = {{"global", Space::global},
                                                          {"shared", Space::shared},
                                                          {"local", Space::local},
                                                          {"param", Space::param},
                                                          {"const", Space::constant}};
  auto found = names.find(word);
  if (found != names.end()) *space = found->second;
  return found != names.end();
}

class Parser {
public:
  explicit Parser(std::string_view text, unsigned first_line = 1) : lexer(text, first_line) {}

  void run(Syntax *result) {
    module = result;
    while (peek().kind != Token::end) directive();
  }

  std::vector<Statement> statements() {
    while (peek().kind != Token::end) statement();
    return std::move(body);
  }

private:
  /* Tokens ------------------------------------------------------------------------------------- */

  const Token &peek(size_t ahead = 0) {
    while (ahead >= known) window[known++] = lexer.next();
    return window[ahead];
  }
  Token take() {
    Token t = peek();
    window[0] = window[1];
    known--;
    return t;
  }
  bool is(std::string_view text, size_t ahead = 0) {
    return peek(ahead).kind != Token::string && peek(ahead).text == text;
  }
  bool accept(std::string_view text) {
    if (!is(text)) return false;
    take();
    return true;
  }
  void expect(std::string_view text) {
    if (!accept(text)) fail("expected '" + std::string(text) + "' before '" + word() + "'");
  }
  std::string word() { return std::string(peek().text); }
  std::string take_word() {
    if (peek().kind != Token::word) fail("expected a name before '" + word() + "'");
    return std::string(take().text);
  }
  uint64_t take_integer() {
    bool negative = accept("-");
    if (peek().kind != Token::number) fail("expected a number before '" + word() + "'");
    uint64_t value = std::strtoull(std::string(take().text).c_str(), nullptr, 0);
    return negative ? -value : value;
  }
  unsigned take_unsigned() { return static_cast<unsigned>(take_integer()); }

  [[noreturn]] void fail(const std::string &what) {
    throw Error("PTX line " + std::to_string(peek().line) + ": " + what);
  }

  /* What is between braces, unread. */
  std::string_view braced(unsigned *first_line) {
    expect("{"); /* and nothing behind it has been read */
    return lexer.braced(first_line);
  }
  void skip_statement() {
    while (!is(";") && peek().kind != Token::end) take();
    expect(";");
  }

  /* Module scope --------------------------------------------------------------------------------- */

  void directive() {
    std::string d = take_word();
    if (d == ".version") {
      take(), take_optional_minor();
    } else if (d == ".target") {
      module->target = take_word();
      while (accept(",")) take();
    } else if (d == ".address_size") {
      if (take_integer() != 64) fail("only 64-bit addresses are supported");
    } else if (d == ".file") {
      unsigned index = take_unsigned();
      module->files[index] = std::string(take().text);
      while (accept(",")) take();
    } else if (d == ".section") {
      take();
      unsigned first_line;
      braced(&first_line);
    } else if (d == ".pragma" || d == ".alias") {
      skip_statement();
    } else if (d == ".visible" || d == ".weak" || d == ".common") {
      /* how a name is linked: there is one module */
    } else if (d == ".extern") {
      external = true;
      return;
    } else if (d == ".entry" || d == ".func") {
      function(d == ".entry");
    } else {
      std::vector<std::string> parts = parts_of(d);
      Space space;
      if (!space_named(parts[0], &space)) fail("unknown directive " + d);
      module->variables.push_back(variable(parts, space));
      expect(";");
    }
    external = false;
  }

  void take_optional_minor() { /* "9.0" is the number 9 and the word ".0" */
    if (peek().kind == Token::word && peek().text[0] == '.' && std::isdigit(peek().text[1])) take();
  }

  /* ".align 4 .b8 name[24] = {...}" after the words `parts` have been read. */
  Declaration variable(std::vector<std::string> parts, Space space) {
    Declaration d;
    d.space = space;
    d.external = external;
    for (;;) {
      for (const std::string &p : parts) {
        if (p == "align")
          d.alignment = take_integer();
        else if (type_named(p) != Type::none)
          d.type = type_named(p);
        else if (Space of_pointer; p != "ptr" && !space_named(p, &of_pointer))
          fail("unknown attribute ." + p);
      }
      if (peek().kind != Token::word || peek().text[0] != '.') break;
      parts = parts_of(take().text);
    }
    if (d.type == Type::none) fail("a variable without a type");
    d.name = take_word();
    if (d.alignment < bytes(d.type)) d.alignment = bytes(d.type);
    d.size = bytes(d.type);
    while (accept("[")) {
      d.size *= is("]") ? 0 : take_integer();
      expect("]");
    }
    if (accept("=")) initial_value(&d);
    return d;
  }

  void initial_value(Declaration *d) {
    d->initial.assign(d->size, 0);
    size_t offset = 0;
    if (!is("{")) return element(d, &offset);
    elements(d, &offset);
  }

  void elements(Declaration *d, size_t *offset) {
    expect("{");
    while (!accept("}")) {
      if (is("{"))
        elements(d, offset);
      else
        element(d, offset);
      accept(",");
    }
  }

  void element(Declaration *d, size_t *offset) {
    unsigned n = bytes(d->type);
    if (*offset + n > d->size) fail("more initial values than '" + d->name + "' holds");
    if (peek().kind == Token::word) {
      bool generic = accept("generic");
      if (generic) expect("(");
      Declaration::Reference r{*offset, take_word(), 0};
      if (generic) expect(")");
      if (accept("+")) r.addend = take_integer();
      if (n != 8) fail("an address in a variable that is not of 64 bits");
      d->references.push_back(r);
    } else {
      Operand o = literal();
      std::memcpy(&d->initial[*offset], &o.value, n); /* little-endian, as PTX is */
    }
    *offset += n;
  }

  /* Functions ------------------------------------------------------------------------------------- */

  void function(bool entry) {
    Function f;
    f.entry = entry;
    if (is("(")) f.results = parameters();
    f.name = take_word();
    if (is("(")) f.parameters = parameters();
    while (!is("{") && !is(";")) attribute(&f);
    f.defined = !accept(";");
    if (f.defined) f.body = braced(&f.body_line);
    if (f.defined || module->functions.count(f.name) == 0) module->functions[f.name] = std::move(f);
  }

  std::vector<Declaration> parameters() {
    std::vector<Declaration> list;
    expect("(");
    while (!accept(")")) {
      std::vector<std::string> parts = parts_of(take_word());
      if (parts[0] == "reg") fail("parameters in registers are not supported");
      list.push_back(variable(parts, Space::param));
      accept(",");
    }
    return list;
  }

  void attribute(Function *f) { /* ".maxntid 256, 1, 1" */
    std::string a = take_word();
    uint32_t product = 1;
    if (peek().kind == Token::number) do
        product *= take_unsigned();
      while (accept(","));
    if (a == ".maxntid" || a == ".reqntid")
      f->max_threads = product;
    else if (a != ".minnctapersm" && a != ".maxnreg" && a != ".noreturn")
      fail("unknown attribute " + a);
  }

  /* Function scope -------------------------------------------------------------------------------- */

  void add(Statement::Kind kind) {
    Statement s;
    s.kind = kind;
    body.push_back(std::move(s));
  }

  void statement() {
    if (accept("{")) return add(Statement::open);
    if (accept("}")) return add(Statement::close);
    if (accept(";")) return;
    if (peek().kind == Token::word && is(":", 1)) return label();
    if (peek().kind == Token::word && peek().text[0] == '.') return local_directive();
    Statement s;
    opcode(&s);
    body.push_back(std::move(s));
  }

  void label() {
    Statement s;
    s.kind = Statement::label;
    s.name = take_word();
    expect(":");
    if (accept(".branchtargets")) {
      s.kind = Statement::branch_targets;
      do s.targets.push_back(take_word());
      while (accept(","));
      expect(";");
    } else if (is(".callprototype")) {
      skip_statement(); /* of an indirect call, which is refused where it stands */
      return;
    }
    body.push_back(std::move(s));
  }

  void local_directive() {
    if (accept(".loc")) return loc();
    if (is(".pragma")) return skip_statement();
    external = accept(".extern");
    std::vector<std::string> parts = parts_of(take_word());
    Space space;
    if (parts[0] == "reg") {
      registers(parts);
    } else if (space_named(parts[0], &space)) {
      Statement s;
      s.kind = Statement::variable;
      s.declaration = variable(parts, space);
      body.push_back(std::move(s));
    } else {
      fail("unknown directive ." + parts[0]);
    }
    external = false;
    expect(";");
  }

  void loc() { /* .loc FILE LINE COLUMN [, function_name NAME[+N], inlined_at FILE LINE COLUMN] */
    location = {};
    location.file = take_unsigned();
    location.line = take_unsigned();
    take_integer();
    if (!accept(",")) return;
    expect("function_name");
    take_word();
    if (accept("+")) take_integer();
    expect(",");
    expect("inlined_at");
    location.inlined_file = take_unsigned();
    location.inlined_line = take_unsigned();
    take_integer();
  }

  void registers(std::vector<std::string> parts) {
    if (parts.size() == 1) parts = parts_of(take_word());
    Statement s;
    s.kind = Statement::reg;
    s.declaration.type = type_named(parts.back());
    if (s.declaration.type == Type::none) fail("unknown type ." + parts.back() + " of registers");
    do {
      s.declaration.name = take_word();
      s.declaration.count = 0;
      if (accept("<")) {
        s.declaration.count = take_unsigned();
        expect(">");
      }
      body.push_back(s);
    } while (accept(","));
  }

  /* Instructions ---------------------------------------------------------------------------------- */

  void opcode(Statement *s) {
    s->kind = Statement::opcode;
    s->op.ptx_line = peek().line;
    s->op.location = location;
    const char *begin = peek().text.data();
    if (accept("@")) {
      s->op.guard_negated = accept("!");
      s->op.guard = take_word();
    }
    s->op.words = parts_of(take_word());
    if (s->op.words[0] == "call") {
      s->kind = Statement::call;
      call(&s->callee);
    } else {
      while (!is(";")) {
        s->op.operands.push_back(operand());
        if (!accept(",") && !is(";")) fail("expected ',' or ';' before '" + word() + "'");
      }
    }
    for (const char *c = begin, *end = peek().text.data(); c < end; c++) {
      bool blank = std::isspace(static_cast<unsigned char>(*c));
      if (!blank)
        s->op.text += *c;
      else if (!s->op.text.empty() && s->op.text.back() != ' ')
        s->op.text += ' ';
    }
    expect(";");
  }

  void call(Call *c) {
    if (is("(")) {
      c->results = names();
      expect(",");
    }
    c->function = take_word();
    if (accept(",")) c->arguments = names();
    if (accept(",")) fail("a call through a register is not supported");
  }

  std::vector<std::string> names() {
    std::vector<std::string> list;
    expect("(");
    while (!accept(")")) {
      list.push_back(take_word());
      accept(",");
    }
    return list;
  }

  Operand operand() {
    Operand o = simple_operand();
    if (!is("|")) return o;
    Operand both;
    both.kind = Operand::vector;
    both.elements.push_back(std::move(o));
    while (accept("|")) both.elements.push_back(simple_operand());
    return both;
  }

  Operand simple_operand() {
    Operand o;
    if (accept("{")) {
      o.kind = Operand::vector;
      while (!accept("}")) {
        o.elements.push_back(simple_operand());
        accept(",");
      }
    } else if (accept("[")) {
      o.kind = Operand::address;
      if (peek().kind == Token::word) o.text = take_word();
      if (accept("+") || is("-") || peek().kind == Token::number) o.value = take_integer();
      expect("]");
    } else if (peek().kind == Token::number || is("-")) {
      o = literal();
    } else {
      o.negated = accept("!");
      o.text = take_word();
      if (accept("+")) fail("an address computed in an operand is not supported");
    }
    return o;
  }

  Operand literal() {
    Operand o;
    o.kind = Operand::integer;
    std::string text = word();
    char form = text.size() > 1 && text[0] == '0' ? static_cast<char>(text[1] | 32) : ' ';
    if (form != 'f' && form != 'd') {
      o.value = take_integer();
      return o;
    }
    o.kind = form == 'f' ? Operand::real32 : Operand::real64;
    o.value = std::strtoull(text.c_str() + 2, nullptr, 16);
    take();
    return o;
  }

  Lexer lexer;
  Token window[2] = {};
  size_t known = 0;      /* of the window */
  bool external = false; /* after .extern */
  Location location;
  Syntax *module = nullptr;
  std::vector<Statement> body;
};

} // namespace

std::unique_ptr<Syntax> parse(std::string_view text) {
  auto module = std::make_unique<Syntax>();
  module->text = text;
  Parser(module->text).run(module.get());
  return module;
}

std::vector<Statement> statements_of(const Function &f) {
  return Parser(f.body, f.body_line).statements();
}

} // namespace cudasim::ptx
