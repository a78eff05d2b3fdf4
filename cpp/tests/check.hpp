// The few lines of a test framework these tests need.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "memvid/error.hpp"

namespace memvid::testing {

struct Test {
    const char* name;
    void (*run)();
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

struct Registration {
    Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

struct Failure {
    std::string text;
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& text) {
    throw Failure{std::string(file) + ":" + std::to_string(line) + ": " + text};
}

template <typename A, typename B>
void check_equal(const A& actual, const B& expected, const char* text, const char* file, int line) {
    if (actual == expected) return;
    std::ostringstream out;
    out << text;
    if constexpr (requires { out << actual << expected; }) out << " (" << actual << " instead of " << expected << ")";
    fail(file, line, out.str());
}

inline void check_error(ErrorCode code, const std::function<void()>& action, const char* text, const char* file,
                        int line) {
    try {
        action();
    } catch (const Error& error) {
        if (error.code() != code) fail(file, line, std::string(text) + " threw another error: " + error.what());
        return;
    }
    fail(file, line, std::string(text) + " threw nothing");
}

inline int run_all() {
    int failures = 0;
    for (const auto& test : tests()) {
        try {
            test.run();
        } catch (const Failure& failure) {
            std::fprintf(stderr, "FAILED %s\n  %s\n", test.name, failure.text.c_str());
            ++failures;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "FAILED %s\n  unexpected exception: %s\n", test.name, error.what());
            ++failures;
        }
    }
    std::printf("%zu tests, %d failed\n", tests().size(), failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace memvid::testing

#define TEST(name)                                                               \
    static void name();                                                          \
    static const memvid::testing::Registration registration_##name(#name, name); \
    static void name()
#define CHECK(condition) ((condition) ? static_cast<void>(0) : memvid::testing::fail(__FILE__, __LINE__, #condition))
#define CHECK_EQUAL(actual, expected) \
    memvid::testing::check_equal((actual), (expected), #actual " == " #expected, __FILE__, __LINE__)
#define CHECK_ERROR(code, ...)    \
    memvid::testing::check_error( \
        memvid::ErrorCode::code, [&] { __VA_ARGS__; }, #__VA_ARGS__, __FILE__, __LINE__)
