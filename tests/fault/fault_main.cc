// Runs scenarios as tests, and prints the table of what they found.
#include <curl/curl.h>
#include <gtest/gtest.h>

#include "tests/fault/matrix.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const int result = RUN_ALL_TESTS();
  meshgate::fault::PrintTable();
  return result;
}
