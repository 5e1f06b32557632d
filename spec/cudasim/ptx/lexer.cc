#include "ptx/lexer.h"

#include "engine.h"

#include <cctype>

namespace cudasim::ptx {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_alphanumeric(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

} // namespace

/* "::" belongs to a modifier, ".shared::cta"; one ':' ends a label. */
bool Lexer::in_word(size_t i) const {
  if (i >= source.size()) return false;
  char c = source[i];
  if (is_alphanumeric(c) || c == '_' || c == '$' || c == '%' || c == '.') return true;
  return c == ':' && (source.substr(i, 2) == "::" || source[i - 1] == ':');
}

Token Lexer::next() {
  skip_blanks();
  if (at >= source.size()) return {Token::end, "end of text", line};
  const size_t start = at;
  const char c = source[at];
  if (is_digit(c)) {
    while (at < source.size() && is_alphanumeric(source[at])) at++;
    return {Token::number, source.substr(start, at - start), line};
  }
  if (c == '"') {
    size_t close = source.find('"', at + 1);
    if (close == std::string_view::npos) fail("a string without its end");
    at = close + 1;
    return {Token::string, source.substr(start + 1, close - start - 1), line};
  }
  at++;
  if (c != ':' && in_word(start)) {
    while (in_word(at)) at++;
    return {Token::word, source.substr(start, at - start), line};
  }
  if (std::string_view("{}[](),;:<>|=+-!@").find(c) == std::string_view::npos)
    fail(std::string("unexpected character '") + c + "'");
  return {Token::mark, source.substr(start, 1), line};
}

std::string_view Lexer::braced(unsigned *first_line) {
  *first_line = line;
  const size_t start = at;
  for (unsigned depth = 1;;) {
    skip_blanks();
    if (at >= source.size()) fail("a brace without its end");
    const char c = source[at++];
    if (c == '{') depth++;
    if (c == '}' && --depth == 0) return source.substr(start, at - 1 - start);
    if (c == '"')
      at = source.find('"', at) + 1; /* .pragma; 0 when it has no end, and then next() says so */
  }
}

void Lexer::skip_blanks() {
  while (at < source.size()) {
    if (source[at] == '\n') line++;
    if (is_blank(source[at])) {
      at++;
    } else if (source.substr(at, 2) == "//") {
      while (at < source.size() && source[at] != '\n') at++;
    } else if (source.substr(at, 2) == "/*") {
      size_t close = source.find("*/", at + 2);
      if (close == std::string_view::npos) fail("a comment without its end");
      for (; at < close + 2; at++) line += source[at] == '\n';
    } else {
      return;
    }
  }
}

void Lexer::fail(const std::string &what) const {
  throw Error("PTX line " + std::to_string(line) + ": " + what);
}

} // namespace cudasim::ptx
