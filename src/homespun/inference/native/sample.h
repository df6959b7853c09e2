/* The next token of a row, for decode.c: the slow versions are in sampling/ and reference.py. */
#pragma once
#include "common.h"

typedef struct {
    i64 seed, place, top_k;
    float temperature, top_p, min_p;
    i64 limit;   /* tokens the answer may still have */
    i64 num_top; /* of the likeliest that are told beside each token; -1: nothing is */
} Chooser;

/* What is told of a token: its log probability, and the likeliest ones with theirs. */
enum { MOST_TOP = 20 };
typedef struct {
    int32_t ids[MOST_TOP];
    float logprobs[MOST_TOP];
    float own;
} Report;

#define GOLDEN 0x9E3779B97F4A7C15ull
INLINE uint64_t mixed64(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}
INLINE float noise(uint64_t key, i64 token) {
    return (float)((double)(mixed64(key + (uint64_t)(token + 1) * GOLDEN) >> 41) + 0.5) * 0x1p-23f;
}

/* -1 where a score is not finite. */
static i64 likeliest(const float *s, i64 num) {
    v8 most = all8(-INFINITY);
    v8i sizes = {0};
    i64 i = 0;
    for (; i + 8 <= num; i += 8) {
        const v8 x = load8(s + i);
        most = max8(x, most);
        sizes |= ((v8i)x & 0x7fffffff) >= 0x7f800000;
    }
    float best = highest8(most);
    int is_finite = 1;
    for (int lane = 0; lane < 8; lane++) is_finite &= sizes[lane] == 0;
    for (; i < num; i++) best = fmaxf(best, s[i]), is_finite &= isfinite(s[i]) != 0;
    if (!is_finite) return -1;
    for (i = 0; i < num; i++)
        if (s[i] == best) return i;
    return 0;
}

/* Lists the likeliest tokens, equal ones by their ids; returns the log of the sum of exponentials. */
static float report_likeliest(const float *s, i64 num, i64 num_top, Report *told) {
    v8 highest = all8(-INFINITY), sums = all8(0.0f);
    i64 i = 0, count = 0;
    for (; i + 8 <= num; i += 8) highest = max8(load8(s + i), highest);
    float most = highest8(highest);
    for (; i < num; i++) most = fmaxf(most, s[i]);
    for (i = 0; i + 8 <= num; i += 8) sums += exp8(load8(s + i) - most);
    double sum = sum8(sums);
    for (; i < num; i++) sum += exp8(all8(s[i] - most))[0];
    const float total = most + (float)log(sum);
    for (i = 0; num_top > 0 && i < num; i++) {
        if (count == num_top && !(s[i] > told->logprobs[count - 1])) continue;
        i64 at = count < num_top ? count++ : count - 1;
        for (; at > 0 && s[i] > told->logprobs[at - 1]; at--)
            told->ids[at] = told->ids[at - 1], told->logprobs[at] = told->logprobs[at - 1];
        told->ids[at] = (int32_t)i, told->logprobs[at] = s[i];
    }
    for (i = 0; i < count; i++) told->logprobs[i] -= total;
    return total;
}

/* The greatest power so that those at least as great sum to `mass`, or count `count` (mass < 0).
   Positive floats are ordered as their bits are, so it is found by some bits after others: powers
   that agree in those found so far are summed by the next ones. */
enum { LEVELS = 4, MOST_BUCKETS = 1 << 10 };
static float least_kept(const float *p, i64 num, double mass, i64 count) {
    static const int widths[LEVELS] = {10, 7, 7, 7};
    double sums[MOST_BUCKETS], above = 0.0;
    i64 counts[MOST_BUCKETS], num_above = 0;
    uint32_t found = 0;
    int left = 31; /* bits that are not found yet */
    for (int level = 0; level < LEVELS; level++) {
        const int shift = left - widths[level], num_buckets = 1 << widths[level];
        memset(sums, 0, sizeof(double) * (size_t)num_buckets);
        memset(counts, 0, sizeof(i64) * (size_t)num_buckets);
        for (i64 i = 0; i < num; i++) {
            uint32_t bits;
            memcpy(&bits, p + i, 4);
            /* What agrees so far differs by less than one bucket of the level before. */
            const uint32_t at = (bits - found) >> shift;
            if (at < (uint32_t)num_buckets) sums[at] += p[i], counts[at]++;
        }
        int at = num_buckets - 1;
        for (; at > 0; at--) {
            const i64 kept = num_above + counts[at];
            if (mass < 0 ? kept >= count : (kept > 0 && above + sums[at] >= mass)) break;
            num_above = kept, above += sums[at];
        }
        found |= (uint32_t)at << shift;
        left = shift;
    }
    float least;
    memcpy(&least, &found, 4);
    return least;
}

/* ids, p: room for `num` numbers each. -1 where a score is not finite. */
static i64 choose(const Chooser *c, float *s, i64 num, int32_t *ids, float *p) {
    const i64 best = likeliest(s, num);
    if (best < 0 || c->temperature < 1e-4f) return best;
    const float most = s[best] / c->temperature;
    const int keeps_all = c->top_k <= 0 && c->top_p >= 1.0f && c->min_p <= 0.0f;
    double total = 0.0;
    i64 kept = 0;
    v8 sums = all8(0.0f);
    i64 i = 0;
    for (; i + 8 <= num; i += 8) {
        const v8 scaled = load8(s + i) / c->temperature;
        const v8 e = exp8(scaled - most);
        store8(s + i, scaled);
        store8(p + i, e);
        sums += e;
    }
    for (; i < num; i++) {
        s[i] /= c->temperature;
        p[i] = exp8(all8(s[i] - most))[0];
        total += p[i];
    }
    total += sum8(sums);
    /* What is less likely than a millionth of the rest together is left out of the search only. */
    for (i = 0; i < num; i++) {
        const float power = p[i];
        ids[kept] = (int32_t)i, p[kept] = power, kept += keeps_all || power > 1e-9f;
    }
    if (c->top_k > 0 && c->top_k < kept) {
        const float least = least_kept(p, kept, -1.0, c->top_k);
        i64 left = 0;
        total = 0.0;
        for (i = 0; i < kept; i++)
            if (p[i] >= least) ids[left] = ids[i], p[left++] = p[i], total += p[i];
        kept = left;
    }
    float least = 0.0f;
    if (c->top_p < 1.0f) least = least_kept(p, kept, (double)c->top_p * total, 0);
    if (c->min_p > least) least = c->min_p;
    const uint64_t key = mixed64(mixed64((uint64_t)c->seed + GOLDEN) + (uint64_t)(c->place + 1) * GOLDEN);
    i64 chosen = best;
    float highest = -INFINITY;
    for (i = 0; i < kept; i++) {
        if (p[i] < least) continue;
        const float score = s[ids[i]] - logf(-logf(noise(key, ids[i])));
        if (score > highest) highest = score, chosen = ids[i];
    }
    return chosen;
}
