#include "memvid/word_search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr double k1 = 1.2, b = 0.5;   // of BM25
constexpr double weight_one = 65536;  // what a weight of 1 is
constexpr std::uint32_t window_rows = 4096;
constexpr std::size_t window_words = window_rows / 64;
constexpr std::size_t most_proposing = 16;
constexpr std::size_t terms_a_look = 4;     // after which rows that cannot get among the best any more are left out
constexpr std::size_t steps_a_lookup = 8;   // rows of a term that are gone through while one row is looked up in it
constexpr double not_quite = 1 - 0x1p-20;  // what single precision may make more of than it is
constexpr std::size_t most_terms = 1024;  // of which the weights add up to 32 bits

// Words for each length code, times 65,536: e^(code / 16) - 1. Stored, since no two mathematical libraries agree.
constexpr std::uint64_t words_of[256] = {0,
                                         4227,
                                         8726,
                                         13516,
                                         18614,
                                         24041,
                                         29818,
                                         35968,
                                         42515,
                                         49483,
                                         56901,
                                         64798,
                                         73204,
                                         82152,
                                         91677,
                                         101816,
                                         112609,
                                         124099,
                                         136329,
                                         149348,
                                         163207,
                                         177960,
                                         193664,
                                         210381,
                                         228176,
                                         247119,
                                         267283,
                                         288748,
                                         311598,
                                         335921,
                                         361812,
                                         389374,
                                         418713,
                                         449945,
                                         483190,
                                         518580,
                                         556252,
                                         596354,
                                         639042,
                                         684484,
                                         732856,
                                         784348,
                                         839161,
                                         897508,
                                         959620,
                                         1025736,
                                         1096117,
                                         1171038,
                                         1250790,
                                         1335685,
                                         1426056,
                                         1522256,
                                         1624660,
                                         1733668,
                                         1849707,
                                         1973229,
                                         2104718,
                                         2244688,
                                         2393684,
                                         2552290,
                                         2721126,
                                         2900850,
                                         3092165,
                                         3295820,
                                         3512608,
                                         3743379,
                                         3989033,
                                         4250530,
                                         4528892,
                                         4825207,
                                         5140633,
                                         5476402,
                                         5833827,
                                         6214303,
                                         6619318,
                                         7050454,
                                         7509396,
                                         7997937,
                                         8517986,
                                         9071576,
                                         9660869,
                                         10288168,
                                         10955925,
                                         11666748,
                                         12423415,
                                         13228883,
                                         14086299,
                                         14999014,
                                         15970594,
                                         17004836,
                                         18105780,
                                         19277730,
                                         20525263,
                                         21853256,
                                         23266896,
                                         24771709,
                                         26373573,
                                         28078749,
                                         29893900,
                                         31826118,
                                         33882952,
                                         36072442,
                                         38403141,
                                         40884158,
                                         43525186,
                                         46336546,
                                         49329223,
                                         52514912,
                                         55906059,
                                         59515917,
                                         63358590,
                                         67449095,
                                         71803415,
                                         76438564,
                                         81372654,
                                         86624966,
                                         92216023,
                                         98167673,
                                         104503170,
                                         111247272,
                                         118426332,
                                         126068401,
                                         134203341,
                                         142862939,
                                         152081034,
                                         161893644,
                                         172339114,
                                         183458259,
                                         195294527,
                                         207894168,
                                         221306417,
                                         235583681,
                                         250781750,
                                         266960010,
                                         284181678,
                                         302514048,
                                         322028755,
                                         342802052,
                                         364915111,
                                         388454341,
                                         413511720,
                                         440185161,
                                         468578892,
                                         498803860,
                                         530978172,
                                         565227549,
                                         601685821,
                                         640495449,
                                         681808083,
                                         725785153,
                                         772598500,
                                         822431049,
                                         875477522,
                                         931945197,
                                         992054725,
                                         1056040985,
                                         1124154003,
                                         1196659934,
                                         1273842096,
                                         1356002079,
                                         1443460926,
                                         1536560384,
                                         1635664242,
                                         1741159749,
                                         1853459131,
                                         1973001202,
                                         2100253073,
                                         2235711986,
                                         2379907247,
                                         2533402304,
                                         2696796942,
                                         2870729628,
                                         3055880009,
                                         3252971563,
                                         3462774431,
                                         3686108421,
                                         3923846215,
                                         4176916781,
                                         4446308995,
                                         4733075515,
                                         5038336886,
                                         5363285924,
                                         5709192374,
                                         6077407874,
                                         6469371233,
                                         6886614057,
                                         7330766731,
                                         7803564791,
                                         8306855707,
                                         8842606098,
                                         9412909420,
                                         10019994147,
                                         10666232474,
                                         11354149593,
                                         12086433554,
                                         12865945774,
                                         13695732211,
                                         14579035277,
                                         15519306495,
                                         16520219997,
                                         17585686873,
                                         18719870460,
                                         19927202603,
                                         21212400979,
                                         22580487529,
                                         24036808081,
                                         25587053239,
                                         27237280620,
                                         28993938523,
                                         30863891126,
                                         32854445311,
                                         34973379211,
                                         37228972607,
                                         39630039278,
                                         42185961445,
                                         44906726429,
                                         47802965678,
                                         50885996311,
                                         54167865336,
                                         57661396729,
                                         61380241538,
                                         65338931231,
                                         69552934474,
                                         74038717575,
                                         78813808831,
                                         83896867014,
                                         89307754283,
                                         95067613800,
                                         101198952339,
                                         107725728240,
                                         114673445021,
                                         122069251036,
                                         129942045559,
                                         138322591705,
                                         147243636640,
                                         156740039541,
                                         166848907808,
                                         177609742065,
                                         189064590505,
                                         201258213197,
                                         214238256986,
                                         228055441677,
                                         242763758218,
                                         258420679676,
                                         275087385811,
                                         292829002141,
                                         311714854416,
                                         331818739515,
                                         353219213806,
                                         375999900106,
                                         400249814443,
                                         426063713885,
                                         453542466803,
                                         482793447022,
                                         513930953384,
                                         547076656370};

// The natural logarithm of a number of at least 1, within 1e-13: by no library, of which none agrees with the next.
double logarithm(double x) {
    constexpr double ln2 = 0.693147180559945309417;
    int exponent = 0;
    double fraction = std::frexp(x, &exponent);
    if (fraction < 0.70710678118654752) {
        fraction *= 2;
        --exponent;
    }
    const double s = (fraction - 1) / (fraction + 1), square = s * s;
    double sum = 0;
    for (int odd = 19; odd > 0; odd -= 2) sum = sum * square + 1.0 / odd;
    return 2 * s * sum + exponent * ln2;
}

// What a word that is in `count` of `rows` rows adds to a sum: ln(1 + (rows - count + 1/2) / (count + 1/2)) * (k1 + 1).
std::uint32_t weight_of(std::uint64_t count, std::uint64_t rows) {
    const double ratio = (2.0 * static_cast<double>(rows) + 2) / (2.0 * static_cast<double>(count) + 1);
    const double weight = logarithm(ratio) * (k1 + 1) * weight_one;
    return std::max(static_cast<std::uint32_t>(weight + 0.5), std::uint32_t{1});  // a word in every row counts, too
}

// A row of a window, and the sum that does not lift it into the best.
struct Proposed {
    std::uint32_t at;
    float least;
};

// The rows of a window that have any of the terms that propose, and what those add up to.
struct Window {
    std::uint32_t begin = 0, end = 0;  // rows of the segment
    std::uint64_t allowed[window_words];
    std::uint64_t touched[window_words];
    std::uint32_t sums[window_rows] = {};  // 0 where no row is touched

    std::size_t words() const { return (end - begin + 63) / 64; }

    // False where no row of it is allowed. `offset` is the number of its first row in `set`.
    bool enter(std::uint32_t first, std::uint32_t last, RowBits set, std::uint64_t offset) {
        begin = first, end = last;
        std::uint64_t any = 0;
        for (std::size_t i = 0; i < words(); ++i) {
            touched[i] = 0;
            any |= allowed[i] = set.empty() ? ~std::uint64_t{0} : word_of(set, offset + 64 * i);
        }
        return any != 0;
    }

    void add(PostingCursor& cursor, std::uint32_t weight) {
        if (!cursor.is_bitmap()) {
            cursor.each(begin, end, [&](std::uint32_t row) {
                sums[row - begin] += weight;
                touched[(row - begin) / 64] |= std::uint64_t{1} << ((row - begin) % 64);
            });
            return;
        }
        for (std::size_t i = 0; i < words(); ++i) {
            const std::uint64_t bits = cursor.word(begin / 64 + static_cast<std::uint32_t>(i)) & allowed[i];
            touched[i] |= bits;
            for (std::uint64_t rest = bits; rest != 0; rest &= rest - 1)
                sums[64 * i + std::countr_zero(rest)] += weight;
        }
    }

    // The same for rows that others have touched.
    void add_to_touched(PostingCursor& cursor, std::uint32_t weight) {
        if (!cursor.is_bitmap()) {
            cursor.each(begin, end, [&](std::uint32_t row) {
                const std::uint32_t at = row - begin;
                if ((touched[at / 64] >> (at % 64) & 1) != 0) sums[at] += weight;
            });
            return;
        }
        for (std::size_t i = 0; i < words(); ++i) {
            std::uint64_t bits = touched[i];
            if (bits != 0) bits &= cursor.word(begin / 64 + static_cast<std::uint32_t>(i));
            for (; bits != 0; bits &= bits - 1) sums[64 * i + std::countr_zero(bits)] += weight;
        }
    }

    // Hands the rows to `take` that are allowed, upwards, and forgets the others.
    template <typename Take>
    void each_touched(const Take& take) {
        for (std::size_t i = 0; i < words(); ++i) {
            for (std::uint64_t bits = touched[i] & ~allowed[i]; bits != 0; bits &= bits - 1)
                sums[64 * i + static_cast<std::size_t>(std::countr_zero(bits))] = 0;
            touched[i] &= allowed[i];
            for (std::uint64_t bits = touched[i]; bits != 0; bits &= bits - 1)
                take(static_cast<std::uint32_t>(64 * i) + static_cast<std::uint32_t>(std::countr_zero(bits)));
        }
    }

    void forget(std::uint32_t at) {
        touched[at / 64] &= ~(std::uint64_t{1} << (at % 64));
        sums[at] = 0;
    }

private:
    static std::uint64_t word_of(RowBits set, std::uint64_t bit) {
        const std::uint64_t index = bit / 64, shift = bit % 64;
        const std::uint64_t low = set[index] >> shift;
        return shift == 0 || index + 1 == set.size() ? low : low | set[index + 1] << (64 - shift);
    }
};

}  // namespace

// The best rows so far. Rows come upwards: of two with the same score, the later one is never better.
struct WordIndex::Best {
    explicit Best(std::size_t size) : size(size) {}

    // A row has to be above it.
    float threshold() const { return rows.size() < size ? -1 : rows.front().score; }

    void add(std::uint32_t row, float score) {
        if (score <= threshold()) return;
        if (rows.size() == size) {
            std::pop_heap(rows.begin(), rows.end(), better);
            rows.pop_back();
        }
        rows.push_back({row, score});
        std::push_heap(rows.begin(), rows.end(), better);
    }

    static bool better(const ScoredRow& one, const ScoredRow& other) {
        return one.score != other.score ? one.score > other.score : one.row < other.row;
    }

    std::size_t size;
    std::vector<ScoredRow> rows;  // a heap with the worst in front
};

WordIndex::WordIndex(const std::vector<WordSegment>& segments) {
    std::uint64_t rows = 0;
    std::array<std::uint64_t, 256> counts{};
    segments_.reserve(segments.size());
    for (const auto& [section, lengths] : segments) {
        Segment segment{Postings(section), lengths, static_cast<std::uint32_t>(rows), {}};
        rows += segment.postings.rows();
        if (lengths.size() != segment.postings.rows() || rows > most_rows)
            throw Error(ErrorCode::format, "the index of words is damaged: it has not the rows of its lengths");
        for (std::size_t begin = 0; begin < lengths.size(); begin += window_rows) {
            const auto window = lengths.subspan(begin, std::min<std::size_t>(window_rows, lengths.size() - begin));
            segment.shortest.push_back(*std::min_element(window.begin(), window.end()));
            for (const auto length : window) ++counts[length];
        }
        segments_.push_back(std::move(segment));
    }
    rows_ = static_cast<std::uint32_t>(rows);
    double total = 0;
    for (std::size_t length = 0; length < counts.size(); ++length)
        total += static_cast<double>(counts[length]) * static_cast<double>(words_of[length]);
    const double mean = total > 0 ? total / static_cast<double>(rows) : 1;
    for (std::size_t length = 0; length < norms_.size(); ++length)
        norms_[length] = 1 / (1 + k1 * (1 - b + b * (static_cast<double>(words_of[length]) / mean))) / weight_one;
}

std::uint64_t WordIndex::frequency(std::string_view term) const {
    std::uint64_t count = 0;
    for (const auto& segment : segments_)
        if (const auto found = segment.postings.find(term)) count += found->count;
    return count;
}

std::vector<std::uint64_t> WordQuestion::frequencies() const {
    std::vector<std::uint64_t> counts;
    for (const auto& term : terms_) counts.push_back(term.count);
    return counts;
}

WordQuestion WordIndex::ask(std::span<const std::string> terms) const {
    if (terms.size() > most_terms)
        throw Error(ErrorCode::config,
                    std::to_string(terms.size()) + " words: a question has at most " + std::to_string(most_terms));
    WordQuestion question;
    auto& result = question.terms_;
    for (const auto& text : terms) {
        WordQuestion::Term term;
        for (const auto& segment : segments_) {
            term.in.push_back(segment.postings.find(text).value_or(TermPostings{0, false, {}}));
            term.count += term.in.back().count;
        }
        if (term.count == 0) continue;
        term.weight = weight_of(term.count, rows_);
        result.push_back(std::move(term));
    }
    std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
    return question;
}

std::vector<ScoredRow> WordIndex::search(const WordQuestion& question, std::size_t k, RowBits allowed) const {
    if (!allowed.empty() && allowed.size() != (std::size_t{rows_} + 63) / 64)
        throw Error(ErrorCode::config, "a set of other rows than the index has");
    if (k == 0) return {};
    const auto& terms = question.terms_;
    const auto search_all = [&](std::size_t silent) {
        Best best(k);
        for (std::size_t segment = 0; segment < segments_.size(); ++segment)
            search(segment, terms, silent, allowed, best);
        return best;
    };
    const std::size_t silent = terms.size() - std::min(terms.size(), most_proposing);
    Best best = search_all(silent);
    if (best.rows.size() < k && silent > 0) best = search_all(0);
    std::sort(best.rows.begin(), best.rows.end(), Best::better);
    return std::move(best.rows);
}

// MaxScore, by windows of rows: the terms of which the weights alone lift no row of the window into the best propose
// none; they are looked up in rows that others proposed, the heaviest first, as long as those can still get there.
// Which terms these are is another question in each window, since short rows get further.
void WordIndex::search(std::size_t number, std::span<const WordQuestion::Term> terms, std::size_t silent,
                       RowBits allowed, Best& best) const {
    const Segment& segment = segments_[number];
    std::vector<PostingCursor> cursors;
    std::vector<std::uint32_t> weights;
    std::vector<std::uint32_t> counts;
    std::vector<std::uint32_t> sums{0};  // of the weights in front of each term
    std::size_t passive = 0;
    cursors.reserve(terms.size());
    for (std::size_t i = 0; i < terms.size(); ++i) {
        const auto& term = terms[i];
        if (term.in[number].count == 0) continue;
        cursors.emplace_back(term.in[number], segment.postings.rows());
        weights.push_back(term.weight);
        counts.push_back(term.in[number].count);
        sums.push_back(sums.back() + term.weight);
        passive += i < silent ? 1 : 0;
    }
    Window window;
    std::vector<Proposed> proposed;
    const std::uint32_t rows = segment.postings.rows();
    for (std::uint32_t begin = 0; begin < rows; begin += window_rows) {
        const double most = norms_[segment.shortest[begin / window_rows]];
        std::size_t first = passive;  // term that proposes
        while (first < weights.size() && most * sums[first + 1] <= best.threshold()) ++first;
        const std::uint32_t end = std::min(rows - begin, window_rows) + begin;
        if (first == weights.size() || !window.enter(begin, end, allowed, std::uint64_t{segment.first} + begin))
            continue;
        for (std::size_t term = first; term < weights.size(); ++term) window.add(cursors[term], weights[term]);
        proposed.clear();
        window.each_touched([&](std::uint32_t at) {
            const double least = best.threshold() / norms_[segment.lengths[begin + at]] * not_quite;
            proposed.push_back({at, static_cast<float>(least)});
        });
        for (std::size_t term = first; term > 0; --term) {
            if ((first - term) % terms_a_look == 0)
                std::erase_if(proposed, [&](const Proposed& row) {
                    const bool is_lost = static_cast<float>(window.sums[row.at] + sums[term]) <= row.least;
                    if (is_lost) window.forget(row.at);
                    return is_lost;
                });
            if (proposed.empty()) break;
            PostingCursor& cursor = cursors[term - 1];
            const std::uint64_t steps =
                cursor.is_bitmap() ? window.words() : std::uint64_t{counts[term - 1]} * window_rows / rows;
            if (steps < proposed.size() * steps_a_lookup)
                window.add_to_touched(cursor, weights[term - 1]);
            else
                for (const auto& row : proposed)
                    if (cursor.contains(begin + row.at)) window.sums[row.at] += weights[term - 1];
        }
        for (const auto& row : proposed) {
            const double norm = norms_[segment.lengths[begin + row.at]];
            best.add(segment.first + begin + row.at, static_cast<float>(norm * window.sums[row.at]));
            window.sums[row.at] = 0;
        }
    }
}

std::vector<float> WordIndex::score(const WordQuestion& question, std::span<const std::int64_t> rows) const {
    for (const auto row : rows)
        if (row < 0 || row >= std::int64_t{rows_})
            throw Error(ErrorCode::config, "there is no row " + std::to_string(row));
    std::vector<std::size_t> order(rows.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rows[a] < rows[b]; });
    std::vector<std::uint32_t> sums(rows.size());
    std::vector<float> scores(rows.size());
    std::size_t begin = 0;
    for (std::size_t number = 0; number < segments_.size(); ++number) {
        const Segment& segment = segments_[number];
        std::size_t end = begin;
        while (end < order.size() && rows[order[end]] - segment.first < segment.postings.rows()) ++end;
        for (const auto& term : question.terms_) {
            if (term.in[number].count == 0) continue;
            PostingCursor cursor(term.in[number], segment.postings.rows());
            for (std::size_t i = begin; i < end; ++i)
                if (cursor.contains(static_cast<std::uint32_t>(rows[order[i]] - segment.first)))
                    sums[order[i]] += term.weight;
        }
        for (std::size_t i = begin; i < end; ++i) {
            const auto length = segment.lengths[static_cast<std::size_t>(rows[order[i]] - segment.first)];
            scores[order[i]] = static_cast<float>(norms_[length] * sums[order[i]]);
        }
        begin = end;
    }
    return scores;
}

std::vector<std::uint32_t> WordIndex::rows_with_all(std::span<const std::string> terms) const {
    std::vector<std::uint32_t> result;
    for (const auto& segment : segments_) {
        std::vector<TermPostings> found;
        for (const auto& term : terms)
            if (const auto postings = segment.postings.find(term)) found.push_back(*postings);
        if (found.size() != terms.size() || found.empty()) continue;
        std::stable_sort(found.begin(), found.end(),
                         [](const TermPostings& a, const TermPostings& b) { return a.count < b.count; });
        const std::uint32_t rows = segment.postings.rows();
        std::vector<PostingCursor> cursors;
        for (const auto& postings : found) cursors.emplace_back(postings, rows);
        for (std::uint32_t row = cursors[0].seek(0); row < rows; row = cursors[0].seek(row + 1))
            if (std::all_of(cursors.begin() + 1, cursors.end(), [&](auto& cursor) { return cursor.contains(row); }))
                result.push_back(segment.first + row);
    }
    return result;
}

void WordIndex::check() const {
    for (const auto& segment : segments_) segment.postings.check();
}

}  // namespace memvid
