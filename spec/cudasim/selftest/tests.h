#ifndef CUDASIM_SELFTEST_TESTS_H
#define CUDASIM_SELFTEST_TESTS_H

#include "selftest/harness.h"

namespace cudasim::selftest {

void test_bugs(const std::string &ptx, const std::string &source);

} // namespace cudasim::selftest

#endif
