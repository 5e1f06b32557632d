/*
** Runs the cases and counts: "N passed, N failed". Arguments: names of cases, all without.
*/
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "test.h"

namespace {

std::vector<Case> &cases() {
  static std::vector<Case> all;
  return all;
}

constexpr const char *kSchedules[] = {"lazy", "eager", "random:1", "random:2"};

struct Outcome {
  int status;
  std::string output;
};

Outcome run(const Case &c, const char *schedule) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    setenv("CVSIM_SCHED", schedule, 1);
    if (c.environment != nullptr) putenv(const_cast<char *>(c.environment));
    c.run();
    exit(0);
  }
  close(ends[1]);
  Outcome o;
  char text[4096];
  for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;) o.output.append(text, size_t(n));
  close(ends[0]);
  waitpid(child, &o.status, 0);
  return o;
}

/* What is wrong with the outcome; empty when it is as it should be. */
std::string verdict(const Case &c, const Outcome &o) {
  bool stopped = WIFEXITED(o.status) && WEXITSTATUS(o.status) == cudasim::kViolationStatus;
  bool ended = WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0;
  if (c.violation == nullptr) return ended ? "" : "should have come to its end:\n" + o.output;
  if (!stopped) return std::string("nobody noticed: ") + c.violation + "\n" + o.output;
  if (o.output.find(c.violation) == std::string::npos)
    return std::string("not the expected text, '") + c.violation + "', but\n" + o.output;
  return "";
}

} // namespace

Cases::Cases(std::vector<Case> list) { cases().insert(cases().end(), list.begin(), list.end()); }

int main(int argc, char **argv) {
  int passed = 0, failed = 0;
  for (const Case &c : cases()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; i++) wanted |= strcmp(argv[i], c.name) == 0;
    if (!wanted) continue;
    for (const char *schedule : kSchedules) {
      std::string wrong = verdict(c, run(c, schedule));
      wrong.empty() ? passed++ : failed++;
      if (!wrong.empty()) printf("FAIL %s, %s: %s\n", c.name, schedule, wrong.c_str());
    }
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
