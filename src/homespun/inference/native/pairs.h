/* Products with keys and values in bfloat16, two of which are multiplied at once where the processor
   can, for attention.h.

   Keys of a block lie as [pair of components][16 tokens][2], values as [pair of tokens][padded
   components][2]. Each sum runs over the pairs in their order, and over the blocks of values in two
   chains, of even and of odd ones: the same bits whatever queries are taken together. */
#pragma once
#include "matmul.h"

#define BLOCK 16
#define PAIR 32 /* numbers of a pair of components, of all tokens of a block */
/* A head's keys or values in a row's blocks, which lie anywhere. */
typedef struct {
    const uint16_t *numbers;
    const int32_t *blocks;
    i64 stride; /* numbers from block to block, of all heads */
} Kept;
INLINE const uint16_t *of_block(const Kept *kept, i64 n) { return kept->numbers + kept->blocks[n] * kept->stride; }
#if defined(__AVX512F__) && defined(__AVX512BF16__)
#define WIDE_PAIRS

INLINE __m512bh pair16(const float *x, i64 at) { /* two bfloat16 side by side, for all lanes */
    int32_t both;
    memcpy(&both, x + at, 4);
    return (__m512bh)_mm512_set1_epi32(both);
}
/* Floats become pairs in their own place, rounded to the nearest; `num` is even. */
static void to_pairs(float *x, i64 num) {
    i64 i = 0;
    for (; i + 32 <= num; i += 32) {
        const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i));
        _mm512_storeu_si512(x + i / 2, (__m512i)both);
    }
    for (; i < num; i += 2) {
        const uint32_t pair = to_bf16(x[i]) | (uint32_t)to_bf16(x[i + 1]) << 16;
        memcpy(x + i / 2, &pair, 4);
    }
}
/* c[m][p][16 tokens] = keys of block n + p for query m, whose numbers are pairs. */
INLINE void key_tile(const int mt, const int np, i64 pairs, const float *q, i64 ldq, const Kept *k, i64 n, float *c, i64 ldc) {
    __m512 acc[6][8];
#pragma GCC unroll 6
    for (int m = 0; m < mt; m++)
#pragma GCC unroll 8
        for (int p = 0; p < np; p++) acc[m][p] = _mm512_setzero_ps();
    const uint16_t *b[8];
#pragma GCC unroll 8
    for (int p = 0; p < np; p++) b[p] = of_block(k, n + p);
    for (i64 j = 0; j < pairs; j++)
#pragma GCC unroll 8
        for (int p = 0; p < np; p++) {
            const __m512bh key = (__m512bh)_mm512_loadu_si512(b[p] + j * PAIR);
#pragma GCC unroll 6
            for (int m = 0; m < mt; m++) acc[m][p] = _mm512_dpbf16_ps(acc[m][p], key, pair16(q + m * ldq, j));
        }
#pragma GCC unroll 6
    for (int m = 0; m < mt; m++)
#pragma GCC unroll 8
        for (int p = 0; p < np; p++) _mm512_storeu_ps(c + m * ldc + p * BLOCK, acc[m][p]);
}
/* out[m][np][16] = values of `tokens` tokens weighted by s, whose numbers are pairs. */
INLINE void value_tile(const int mt, const int np, i64 tokens, const float *s, i64 lds, const Kept *v, i64 padded, float *out) {
    __m512 acc[2][6][4];
#pragma GCC unroll 6
    for (int m = 0; m < mt; m++)
#pragma GCC unroll 4
        for (int p = 0; p < np; p++) acc[0][m][p] = acc[1][m][p] = _mm512_setzero_ps();
#define ADD_PAIR(chain, n, j, mask)                                                                             \
    _Pragma("GCC unroll 4") for (int p = 0; p < np; p++) {                                                      \
        const __m512i value = _mm512_and_si512(_mm512_loadu_si512(of_block(v, n) + ((j) * padded + p * 16) * 2), mask);   \
        _Pragma("GCC unroll 6") for (int m = 0; m < mt; m++)                                                    \
            acc[chain][m][p] = _mm512_dpbf16_ps(acc[chain][m][p], (__m512bh)value, pair16(s + m * lds, (n) * (BLOCK / 2) + (j))); \
    }
    const __m512i all = _mm512_set1_epi32(-1), first = _mm512_set1_epi32(0xffff);
    i64 n = 0;
    for (; (n + 2) * BLOCK <= tokens; n += 2)
        for (i64 j = 0; j < BLOCK / 2; j++) {
            ADD_PAIR(0, n, j, all)
            ADD_PAIR(1, n + 1, j, all)
        }
    /* Behind the last token lie others' old numbers, which may be none: 0 times them is not 0. */
    for (i64 j = 0; j < MIN(BLOCK, tokens - n * BLOCK) / 2; j++) { ADD_PAIR(0, n, j, all) }
    if (tokens - n * BLOCK < BLOCK) {
        if (tokens % 2) { ADD_PAIR(0, n, tokens % BLOCK / 2, first) }
    } else if (n++, tokens > n * BLOCK) {
        for (i64 j = 0; j < (tokens - n * BLOCK) / 2; j++) { ADD_PAIR(1, n, j, all) }
        if (tokens % 2) { ADD_PAIR(1, n, tokens % BLOCK / 2, first) }
    }
#undef ADD_PAIR
#pragma GCC unroll 6
    for (int m = 0; m < mt; m++)
#pragma GCC unroll 4
        for (int p = 0; p < np; p++) _mm512_storeu_ps(out + m * padded + p * 16, _mm512_add_ps(acc[0][m][p], acc[1][m][p]));
}
enum { KEY_BLOCKS = 4, KEY_BLOCKS_OF_ONE = 8, VALUE_PARTS = 2, VALUE_PARTS_OF_ONE = 4 };

#else

static void to_pairs(float *x, i64 num) { (void)x, (void)num; } /* queries and weights stay as they are */
INLINE v8 first8(const uint16_t *p) { return (v8)(*(const v8u *)p << 16); }
INLINE v8 second8(const uint16_t *p) { return (v8)(*(const v8u *)p & 0xffff0000u); }

INLINE void key_tile(const int mt, const int np, i64 pairs, const float *q, i64 ldq, const Kept *k, i64 n, float *c, i64 ldc) {
    for (int p = 0; p < np; p++) {
        const uint16_t *b = of_block(k, n + p);
        v8 acc[6][2];
#pragma GCC unroll 6
        for (int m = 0; m < mt; m++) acc[m][0] = acc[m][1] = all8(0.0f);
        for (i64 j = 0; j < pairs; j++)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const v8 a = first8(b + j * PAIR + half * 16), z = second8(b + j * PAIR + half * 16);
#pragma GCC unroll 6
                for (int m = 0; m < mt; m++) {
                    acc[m][half] += q[m * ldq + 2 * j] * a;
                    acc[m][half] += q[m * ldq + 2 * j + 1] * z;
                }
            }
#pragma GCC unroll 6
        for (int m = 0; m < mt; m++) {
            store8(c + m * ldc + p * BLOCK, acc[m][0]);
            store8(c + m * ldc + p * BLOCK + 8, acc[m][1]);
        }
    }
}
INLINE void value_tile(const int mt, const int np, i64 tokens, const float *s, i64 lds, const Kept *v, i64 padded, float *out) {
    for (int p = 0; p < np; p++) {
        v8 acc[6][2];
#pragma GCC unroll 6
        for (int m = 0; m < mt; m++) acc[m][0] = acc[m][1] = all8(0.0f);
        for (i64 t = 0; t < tokens; t += 2) {
            const uint16_t *value = of_block(v, t / BLOCK) + (t % BLOCK / 2 * padded + p * 16) * 2;
            const int is_pair = t + 1 < tokens; /* behind the last token lie others' old numbers */
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const v8 a = first8(value + half * 16), b = is_pair ? second8(value + half * 16) : all8(0.0f);
#pragma GCC unroll 6
                for (int m = 0; m < mt; m++) {
                    acc[m][half] += s[m * lds + t] * a;
                    acc[m][half] += s[m * lds + t + 1] * b;
                }
            }
        }
#pragma GCC unroll 6
        for (int m = 0; m < mt; m++) {
            store8(out + m * padded + p * 16, acc[m][0]);
            store8(out + m * padded + p * 16 + 8, acc[m][1]);
        }
    }
}
enum { KEY_BLOCKS = 1, KEY_BLOCKS_OF_ONE = 1, VALUE_PARTS = 1, VALUE_PARTS_OF_ONE = 1 };
#endif

/* All blocks' scores of `num` queries. */
INLINE void key_products(i64 num, i64 pairs, const float *q, i64 ldq, const Kept *k, i64 num_blocks, float *c, i64 ldc) {
#define KEYS(mt, np) key_tile(mt, np, pairs, q, ldq, k, n, c + n * BLOCK, ldc)
    i64 n = 0;
    if (num == 1)
        for (; n + KEY_BLOCKS_OF_ONE <= num_blocks; n += KEY_BLOCKS_OF_ONE) KEYS(1, KEY_BLOCKS_OF_ONE);
    for (; n + KEY_BLOCKS <= num_blocks; n += KEY_BLOCKS) switch (num) {
        case 1: KEYS(1, KEY_BLOCKS); break;
        case 2: KEYS(2, KEY_BLOCKS); break;
        case 3: KEYS(3, KEY_BLOCKS); break;
        case 4: KEYS(4, KEY_BLOCKS); break;
        case 5: KEYS(5, KEY_BLOCKS); break;
        default: KEYS(6, KEY_BLOCKS);
        }
    for (; n < num_blocks; n++) switch (num) {
        case 1: KEYS(1, 1); break;
        case 2: KEYS(2, 1); break;
        case 3: KEYS(3, 1); break;
        case 4: KEYS(4, 1); break;
        case 5: KEYS(5, 1); break;
        default: KEYS(6, 1);
        }
#undef KEYS
}
/* out[num][padded], weighted sums over the first `tokens` of the blocks. */
INLINE void value_products(i64 num, i64 tokens, const float *s, i64 lds, const Kept *values, i64 padded, float *out) {
#define VALUES(mt, np) value_tile(mt, np, tokens, s, lds, &v, padded, out + at)
    Kept v = *values;
    i64 at = 0;
    while (at < padded) {
        i64 parts = 1;
        if (num == 1 && at + 16 * VALUE_PARTS_OF_ONE <= padded) VALUES(1, VALUE_PARTS_OF_ONE), parts = VALUE_PARTS_OF_ONE;
        else if (at + 16 * VALUE_PARTS <= padded) {
            parts = VALUE_PARTS;
            switch (num) {
            case 1: VALUES(1, VALUE_PARTS); break;
            case 2: VALUES(2, VALUE_PARTS); break;
            case 3: VALUES(3, VALUE_PARTS); break;
            case 4: VALUES(4, VALUE_PARTS); break;
            case 5: VALUES(5, VALUE_PARTS); break;
            default: VALUES(6, VALUE_PARTS);
            }
        } else switch (num) {
            case 1: VALUES(1, 1); break;
            case 2: VALUES(2, 1); break;
            case 3: VALUES(3, 1); break;
            case 4: VALUES(4, 1); break;
            case 5: VALUES(5, 1); break;
            default: VALUES(6, 1);
            }
        v.numbers += parts * 32; /* the next components of each pair */
        at += 16 * parts;
    }
#undef VALUES
}
