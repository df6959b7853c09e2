/* Attention of some tokens of one row over its blocks, for decode.c.

   A block holds 16 tokens of one layer: keys [kv head][component][16], values [kv head][16][padded
   components], float32; or bfloat16 beside weights of fewer bits, in pairs, see pairs.h. Queries are taken six at a time; each one's sums run over the tokens in their order. With
   a sliding window they begin at the block in which the first query's window does: tokens before a query's own window have a weight of 0, which changes no
   sum, so its bits do not depend on those it is taken with. */
#pragma once
#include "pairs.h"

#define QUERIES 6
typedef struct {
    i64 heads, kv_heads, width, padded; /* width: of a head, even; padded: of its values, a multiple of 16 */
} Heads;

/* Of scores from .. seen - 1; the others' weights are 0. */
INLINE void softmax_row(float *s, i64 from, i64 seen, i64 length) {
    v8 greatest = all8(-INFINITY);
    for (i64 i = 0; i < from; i++) s[i] = -INFINITY;
    for (i64 i = seen; i < length; i++) s[i] = -INFINITY;
    for (i64 i = 0; i < length; i += 8) greatest = max8(load8(s + i), greatest);
    const float most = highest8(greatest);
    v16 total = all16(0.0f);
    for (i64 i = 0; i < length; i += 16) {
        const v16 e = exp16(load16(s + i) - most);
        store16(s + i, e);
        total += e;
    }
    const float inverse = 1.0f / sum16(total);
    for (i64 i = 0; i < length; i += 16) store16(s + i, load16(s + i) * inverse);
}

/* The last block holds other rows' old numbers behind this row's, which may be none: 0 times them is
   not 0. */
INLINE void add_partial(i64 depth, i64 num, const float *scores, i64 scores_stride, const float *value, i64 padded, float *mixed) {
    for (i64 at = 0; at < padded; at += 16) {
        const void *b = value + at;
        float *c = mixed + at;
        float_block(0, num, depth, scores, scores_stride, &b, 1, padded, &c, padded, 1);
    }
}

/* Values of two blocks, weighted, for one query: each block's sum as float_tile makes it, both at once,
   since one alone waits for itself. */
INLINE void add_two_blocks(const int np, const float *scores, const float *first, const float *second, i64 padded, float *mixed) {
    v8 a[2][2], b[2][2];
#pragma GCC unroll 2
    for (int p = 0; p < np; p++) a[p][0] = a[p][1] = b[p][0] = b[p][1] = all8(0.0f);
    for (i64 k = 0; k < BLOCK; k++) {
        const v8 x = all8(scores[k]), y = all8(scores[BLOCK + k]);
#pragma GCC unroll 2
        for (int p = 0; p < np; p++) {
            const i64 at = k * padded + p * 16;
            a[p][0] += x * load8(first + at), a[p][1] += x * load8(first + at + 8);
            b[p][0] += y * load8(second + at), b[p][1] += y * load8(second + at + 8);
        }
    }
#pragma GCC unroll 2
    for (int p = 0; p < np; p++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            float *out = mixed + p * 16 + half * 8;
            store8(out, load8(out) + a[p][half] + b[p][half]);
        }
}
/* Where a head's part of a block lies, in numbers from the first; `size` is that of a part. */
INLINE i64 at_block(const Heads *h, int32_t block, i64 kv_head, i64 size) {
    return ((i64)block * h->kv_heads + kv_head) * size;
}
/* What is wanted soon. */
INLINE void fetch(const void *numbers, i64 bytes) {
    for (i64 i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)numbers + i);
}
/* What the functions below share. q: [num][width], already scaled, is overwritten; seen[i]: tokens up to query i, of which it sees the last `window`, or
   all where that is 0; out[i]: where its head's values go. scores: room for QUERIES rows of as many tokens as the blocks hold. */
#define ATTENTION                                                                                                                       \
    const Heads *h, i64 num, float *q, i64 window, const i64 *seen, float *const *out, const void *all_keys, const void *all_values, \
        const int32_t *blocks, i64 kv_head, float *scores, i64 scores_stride, float *mixed
typedef struct {
    i64 skipped, most, num_blocks; /* blocks before any that a query sees; tokens and blocks from there on */
} Reach;
INLINE Reach reach_of(i64 num, i64 window, const i64 *seen) {
    i64 most = 0, least = seen[0];
    for (i64 i = 0; i < num; i++) most = seen[i] > most ? seen[i] : most, least = MIN(seen[i], least);
    /* An even number, so that even blocks stay even. */
    const i64 skipped = window > 0 && least > window ? (least - window) / (2 * BLOCK) * 2 : 0;
    most -= skipped * BLOCK;
    return (Reach){skipped, most, (most + BLOCK - 1) / BLOCK};
}
static __attribute__((noinline)) void attend(ATTENTION) {
    const Reach reach = reach_of(num, window, seen);
    const i64 most = reach.most, num_blocks = reach.num_blocks;
    blocks += reach.skipped;
    const float *keys = all_keys, *values = all_values;
    const i64 key_size = h->width * BLOCK, value_size = h->padded * BLOCK;
    const void *b[4];
    float *c[4];
    for (i64 n = 0; n < num_blocks; n += 4) {
        const i64 count = MIN(4, num_blocks - n);
        for (i64 i = 0; i < count; i++) {
            b[i] = keys + at_block(h, blocks[n + i], kv_head, key_size);
            c[i] = scores + (n + i) * BLOCK;
        }
        for (i64 i = n + 4; i < MIN(n + 8, num_blocks); i++) /* blocks lie anywhere: no processor guesses the next */
            fetch(keys + at_block(h, blocks[i], kv_head, key_size), key_size * 4);
        float_block(0, num, h->width, q, h->width, b, count, BLOCK, c, scores_stride, 0);
    }
    for (i64 i = 0; i < num; i++) {
        const i64 stop = seen[i] - reach.skipped * BLOCK;
        softmax_row(scores + i * scores_stride, window > 0 ? stop - window : 0, stop, num_blocks * BLOCK);
    }
    memset(mixed, 0, sizeof(float) * (size_t)(num * h->padded));
    i64 n = 0;
    if (num == 1)
        for (; (n + 2) * BLOCK <= most; n += 2) {
            const float *first = values + at_block(h, blocks[n], kv_head, value_size);
            const float *second = values + at_block(h, blocks[n + 1], kv_head, value_size);
            for (i64 i = n + 2; i < MIN(n + 4, num_blocks); i++) fetch(values + at_block(h, blocks[i], kv_head, value_size), value_size * 4);
            i64 at = 0;
            for (; at + 32 <= h->padded; at += 32) add_two_blocks(2, scores + n * BLOCK, first + at, second + at, h->padded, mixed + at);
            if (at < h->padded) add_two_blocks(1, scores + n * BLOCK, first + at, second + at, h->padded, mixed + at);
        }
    for (; n < num_blocks; n++) {
        const float *value = values + at_block(h, blocks[n], kv_head, value_size);
        if (most < (n + 1) * BLOCK) {
            add_partial(most - n * BLOCK, num, scores + n * BLOCK, scores_stride, value, h->padded, mixed);
            break;
        }
        for (i64 at = 0; at < h->padded; at += 64) {
            const i64 count = MIN(4, (h->padded - at) / 16);
            for (i64 i = 0; i < count; i++) b[i] = value + at + i * 16, c[i] = mixed + at + i * 16;
            float_block(0, num, BLOCK, scores + n * BLOCK, scores_stride, b, count, h->padded, c, h->padded, 1);
        }
    }
    for (i64 i = 0; i < num; i++) memcpy(out[i], mixed + i * h->padded, sizeof(float) * (size_t)h->width);
}
static __attribute__((noinline)) void attend_pairs(ATTENTION) {
    const Reach reach = reach_of(num, window, seen);
    blocks += reach.skipped;
    const i64 key_size = h->width * BLOCK, value_size = h->padded * BLOCK;
    const Kept keys = {(const uint16_t *)all_keys + kv_head * key_size, blocks, h->kv_heads * key_size};
    const Kept values = {(const uint16_t *)all_values + kv_head * value_size, blocks, h->kv_heads * value_size};
    if (num == 1)
        for (i64 n = 0; n < reach.num_blocks; n++) fetch(of_block(&keys, n), key_size * 2);
    for (i64 i = 0; i < num; i++) to_pairs(q + i * h->width, h->width);
    key_products(num, h->width / 2, q, h->width, &keys, reach.num_blocks, scores, scores_stride);
    if (num == 1)
        for (i64 n = 0; n < reach.num_blocks; n++) fetch(of_block(&values, n), value_size * 2);
    for (i64 i = 0; i < num; i++) {
        const i64 stop = seen[i] - reach.skipped * BLOCK, length = reach.num_blocks * BLOCK;
        softmax_row(scores + i * scores_stride, window > 0 ? stop - window : 0, stop, length);
        to_pairs(scores + i * scores_stride, length);
    }
    value_products(num, reach.most, scores, scores_stride, &values, h->padded, mixed);
    for (i64 i = 0; i < num; i++) memcpy(out[i], mixed + i * h->padded, sizeof(float) * (size_t)h->width);
}
