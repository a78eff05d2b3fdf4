#include "check.hpp"

int main() { return memvid::testing::run_all(); }
