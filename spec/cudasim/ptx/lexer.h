/* Splits PTX into tokens. Comments are dropped; a token knows its line for messages. */
#ifndef CUDASIM_PTX_LEXER_H
#define CUDASIM_PTX_LEXER_H

#include <string>
#include <string_view>

namespace cudasim::ptx {

struct Token {
  enum Kind { end, word, number, string, mark } kind;
  std::string_view text; /* into the source; without the quotes of a string */
  unsigned line;
};

/* A word is an identifier, a directive or an opcode with its modifiers: "%r1", ".reg", "ld.global.u32".
** A mark is one character. Errors: Error naming the line. */
class Lexer {
public:
  explicit Lexer(std::string_view text, unsigned first_line = 1) : source(text), line(first_line) {}

  Token next(); /* of kind `end` when there is no more */

  /* The text up to the brace that closes the one just read; goes on behind it. */
  std::string_view braced(unsigned *first_line);

private:
  bool in_word(size_t i) const;
  void skip_blanks();
  [[noreturn]] void fail(const std::string &what) const;

  std::string_view source;
  size_t at = 0;
  unsigned line;
};

} // namespace cudasim::ptx

#endif
