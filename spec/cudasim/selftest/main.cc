/* cudasim-selftest FOLDER SOURCES: runs the self-tests on FOLDER/NAME.ARCH.ptx made from SOURCES/NAME.cu. */
#include "selftest/tests.h"

using namespace cudasim;
using namespace cudasim::selftest;

int main(int argc, char **argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: %s FOLDER SOURCES\n", argv[0]), 2;
  const std::string folder = argv[1], sources = argv[2];
  try {
    for (const std::string arch : {"75", "80", "90"}) {
      test_bugs(folder + "/bugs." + arch + ".ptx", sources + "/bugs.cu");
    }
  } catch (const std::exception &e) {
    check(false, e.what());
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
