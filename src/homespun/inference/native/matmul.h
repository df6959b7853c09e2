/* Products of a few or many tokens with packed weights, for decode.c.

   Weights lie in panels of 16 rows (outputs). Whatever the number of tokens, every output is one sum
   over the inputs in their order, so that it has the same bits alone and in any batch.

     floats  [panel][input][16], float32 or bfloat16
     int8    [panel][group][quad][half][row of 8][4], 128 added, a scale (bfloat16) for each group of
             32 inputs
     int4    [panel][group][pair][half][row of 8][4], low halves of the bytes the first quad of a pair

   Integers are multiplied with inputs that are rounded, a scale for each group of 32: to 8 bits, and
   for int8 where a processor adds up products in 16 bits only, to 7, which just fit. */
#pragma once
#include "common.h"

enum { FLOAT32, BFLOAT16, INT8, INT4 };
typedef struct {
    i64 rows, cols; /* padded to multiples of 16 and 32 */
    i64 kind;
    const void *data;
    const uint16_t *scales; /* [panel][group][16] */
} Matrix;
#if defined(__AVX512F__) && defined(__AVX512VNNI__)
#define WIDE_INTEGERS
enum { INT_TOKENS = 8 };
#else
enum { INT_TOKENS = 4 };
#endif
/* Inputs of the tokens; rounded ones only where a matrix wants them, for INT_TOKENS tokens together:
   [tile of tokens][group][quad][token][4], and [tile of tokens][group][token]. */
typedef struct {
    float *x;
    i64 stride;
    int8_t *rounded;
    float *scale;
    int32_t *shift; /* what weights of a group have too much, times the inputs, to be added to the sum */
} Inputs;
/* Numbers from the first to a token's group: of `scale` and `shift`, and 32 times of `rounded`. */
INLINE i64 group_at(const Inputs *in, i64 token, i64 g) {
    return (token / INT_TOKENS * (in->stride / 32) + g) * INT_TOKENS;
}

INLINE float from_bf16(uint16_t h) {
    const uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
INLINE uint16_t to_bf16(float x) { /* to the nearest, ties to even; what is no number stays none */
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, none = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? none : rounded);
}
INLINE v8 from_bf16_8(const uint16_t *p) {
    return (v8)(__builtin_convertvector(*(const v8h *)p, v8u) << 16);
}

#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__) || !defined(__AVX2__)
#define INT8_LEVELS 127
#else
#define INT8_LEVELS 63 /* 255 · 63 · 2 < 2^15 */
#endif

/* Rounds one token's inputs for a matrix of whole numbers; nothing for others. */
static void round_inputs(const Matrix *w, const Inputs *in, i64 token) {
    if (w->kind != INT8 && w->kind != INT4) return;
    const i64 cols = w->cols;
    const float levels = w->kind == INT8 ? INT8_LEVELS : 127;
    const float *x = in->x + token * in->stride;
    const int32_t too_much = w->kind == INT8 ? 128 : 8;
    for (i64 g = 0; g < cols / 32; g++) {
        const i64 at = group_at(in, token, g), own = at + token % INT_TOKENS;
        int8_t *q = in->rounded + at * 32 + token % INT_TOKENS * 4;
        /* Sizes are ordered as their bits are, with infinity and what is no number at the end. */
        v8i most = {0};
        for (int i = 0; i < 32; i += 8) {
            const v8i size = (v8i)load8(x + g * 32 + i) & 0x7fffffff;
            const v8i greater = size > most;
            most = (size & greater) | (most & ~greater);
        }
        int32_t bits = most[0];
        for (int i = 1; i < 8; i++) bits = most[i] > bits ? most[i] : bits;
        float largest;
        memcpy(&largest, &bits, 4);
        if (bits >= 0x7f800000) {
            /* Nothing is left of the group but that it is not finite: 0 by a scale of NaN. */
            for (int j = 0; j < 8; j++) memset(q + j * INT_TOKENS * 4, 0, 4);
            in->scale[own] = NAN;
            in->shift[own] = 0;
            continue;
        }
        /* Below it the inverse might be infinite, and the group is as good as zeros. */
        const float inverse = largest > 1e-35f ? levels / largest : 0.0f;
        v8i total = {0};
        for (int i = 0; i < 32; i += 8) {
            /* Adding and taking away 1.5 · 2^23 rounds to the nearest whole number. */
            const v8i v = __builtin_convertvector((load8(x + g * 32 + i) * inverse + 12582912.0f) - 12582912.0f, v8i);
            const v8b bytes = __builtin_convertvector(v, v8b);
            memcpy(q + i * INT_TOKENS, &bytes, 4);
            memcpy(q + (i + 4) * INT_TOKENS, (const char *)&bytes + 4, 4);
            total += v;
        }
        in->scale[own] = largest / levels;
        int32_t sum = 0;
        for (int i = 0; i < 8; i++) sum += total[i];
        in->shift[own] = -too_much * sum;
    }
}

/* c[m][panel][16] (+)= sum over k of a[m][k] · b[panel][k][16]. */
INLINE void float_tile(const int mt, const int np, const int is_bf16, i64 depth, const float *a, i64 lda,
                       const void *const *b, i64 ldb, float *const *c, i64 ldc, int add) {
    v8 acc[6][4][2];
#pragma GCC unroll 6
    for (int m = 0; m < mt; m++)
#pragma GCC unroll 4
        for (int p = 0; p < np; p++) acc[m][p][0] = acc[m][p][1] = all8(0.0f);
    for (i64 k = 0; k < depth; k++) {
#pragma GCC unroll 4
        for (int p = 0; p < np; p++) {
            v8 w0, w1;
            if (is_bf16) {
                const uint16_t *w = (const uint16_t *)b[p] + k * ldb;
                w0 = from_bf16_8(w), w1 = from_bf16_8(w + 8);
            } else {
                const float *w = (const float *)b[p] + k * ldb;
                w0 = load8(w), w1 = load8(w + 8);
            }
#pragma GCC unroll 6
            for (int m = 0; m < mt; m++) {
                const v8 x = all8(a[m * lda + k]);
                acc[m][p][0] += x * w0;
                acc[m][p][1] += x * w1;
            }
        }
    }
#pragma GCC unroll 6
    for (int m = 0; m < mt; m++)
#pragma GCC unroll 4
        for (int p = 0; p < np; p++) {
            float *out = c[p] + m * ldc;
            if (add) {
                store8(out, load8(out) + acc[m][p][0]);
                store8(out + 8, load8(out + 8) + acc[m][p][1]);
            } else {
                store8(out, acc[m][p][0]);
                store8(out + 8, acc[m][p][1]);
            }
        }
}
/* Up to 6 tokens and 4 panels; the number of tokens as a constant. */
INLINE void float_tiles(const int np, const int is_bf16, i64 mt, i64 depth, const float *a, i64 lda,
                        const void *const *b, i64 ldb, float *const *c, i64 ldc, int add) {
    switch (mt) {
    case 1: float_tile(1, np, is_bf16, depth, a, lda, b, ldb, c, ldc, add); break;
    case 2: float_tile(2, np, is_bf16, depth, a, lda, b, ldb, c, ldc, add); break;
    case 3: float_tile(3, np, is_bf16, depth, a, lda, b, ldb, c, ldc, add); break;
    case 4: float_tile(4, np, is_bf16, depth, a, lda, b, ldb, c, ldc, add); break;
    case 5: float_tile(5, np, is_bf16, depth, a, lda, b, ldb, c, ldc, add); break;
    default: float_tile(6, np, is_bf16, depth, a, lda, b, ldb, c, ldc, add);
    }
}
/* Panels b[0..np) and tokens a[0..mt), in the tiles that keep the most sums in registers. */
INLINE void float_block(const int is_bf16, i64 tokens, i64 depth, const float *a, i64 lda,
                        const void *const *b, i64 num_panels, i64 ldb, float *const *c, i64 ldc, int add) {
    i64 p = 0;
    while (p < num_panels) {
        if (tokens == 1 && p + 4 <= num_panels) {
            float_tile(1, 4, is_bf16, depth, a, lda, b + p, ldb, c + p, ldc, add);
            p += 4;
        } else if (tokens <= 3 && p + 2 <= num_panels) {
            if (tokens == 1) float_tile(1, 2, is_bf16, depth, a, lda, b + p, ldb, c + p, ldc, add);
            else if (tokens == 2) float_tile(2, 2, is_bf16, depth, a, lda, b + p, ldb, c + p, ldc, add);
            else float_tile(3, 2, is_bf16, depth, a, lda, b + p, ldb, c + p, ldc, add);
            p += 2;
        } else {
            for (i64 m = 0; m < tokens; m += 6) {
                float *out = c[p] + m * ldc;
                float_tiles(1, is_bf16, MIN(6, tokens - m), depth, a + m * lda, lda, b + p, ldb, &out, ldc, add);
            }
            p += 1;
        }
    }
}

#ifdef WIDE_INTEGERS
INLINE __m512i quad16(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}
/* One panel, its 16 rows in one register, and mt tokens. */
INLINE void int_tile(const int mt, const int is_int4, i64 groups, const Inputs *in, i64 token, const uint8_t *w,
                     const uint16_t *scales, float *c, i64 ldc, int add) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512 acc[INT_TOKENS];
#pragma GCC unroll 8
    for (int m = 0; m < mt; m++) acc[m] = _mm512_setzero_ps();
    for (i64 g = 0; g < groups; g++) {
        const i64 at = group_at(in, token, g);
        const int8_t *x = in->rounded + at * 32;
        __m512i s[INT_TOKENS];
        /* The second tile of tokens sends for the panel that the first will want next. */
        if (token == INT_TOKENS)
            for (i64 line = 0; line < (is_int4 ? 256 : 512); line += 64) __builtin_prefetch(w + groups * (is_int4 ? 256 : 512) + line, 0, 2);
#pragma GCC unroll 8
        for (int m = 0; m < mt; m++) s[m] = _mm512_set1_epi32(in->shift[at + m]);
        if (is_int4) {
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++, w += 64) {
                const __m512i both = _mm512_loadu_si512(w);
                const __m512i first = _mm512_and_si512(both, low), second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
#pragma GCC unroll 8
                for (int m = 0; m < mt; m++) {
                    s[m] = _mm512_dpbusd_epi32(s[m], first, quad16(x + (j * 2 * INT_TOKENS + m) * 4));
                    s[m] = _mm512_dpbusd_epi32(s[m], second, quad16(x + ((j * 2 + 1) * INT_TOKENS + m) * 4));
                }
            }
        } else {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++, w += 64) {
                const __m512i weights = _mm512_loadu_si512(w);
#pragma GCC unroll 8
                for (int m = 0; m < mt; m++) s[m] = _mm512_dpbusd_epi32(s[m], weights, quad16(x + (j * INT_TOKENS + m) * 4));
            }
        }
        const __m256i halves = _mm256_loadu_si256((const __m256i *)(scales + g * 16));
        const __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
#pragma GCC unroll 8
        for (int m = 0; m < mt; m++)
            acc[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[m]), _mm512_mul_ps(scale, _mm512_set1_ps(in->scale[at + m])), acc[m]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < mt; m++) {
        float *out = c + m * ldc;
        if (add) acc[m] = _mm512_add_ps(acc[m], _mm512_loadu_ps(out));
        _mm512_storeu_ps(out, acc[m]);
    }
}
#else
#if defined(__AVX2__)
INLINE __m256i quad(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}
INLINE __m256i dot(__m256i sum, __m256i w, __m256i x) {
#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
#if defined(__AVXVNNI__) && !defined(__AVX512VL__)
    return _mm256_dpbusd_avx_epi32(sum, w, x);
#else
    return _mm256_dpbusd_epi32(sum, w, x);
#endif
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
#endif
}
#endif

/* One panel and mt tokens. */
INLINE void int_tile(const int mt, const int is_int4, i64 groups, const Inputs *in, i64 token, const uint8_t *w,
                     const uint16_t *scales, float *c, i64 ldc, int add) {
    v8 acc[4][2];
#pragma GCC unroll 4
    for (int m = 0; m < mt; m++) acc[m][0] = acc[m][1] = all8(0.0f);
    for (i64 g = 0; g < groups; g++) {
        const i64 at = group_at(in, token, g);
        const int8_t *inputs = in->rounded + at * 32;
        v8i sums[4][2];
#if defined(__AVX2__)
        __m256i s[4][2];
#pragma GCC unroll 4
        for (int m = 0; m < mt; m++)
            s[m][0] = s[m][1] = _mm256_set1_epi32(is_int4 ? 0 : in->shift[at + m]);
        if (is_int4) {
            const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 1
            for (int j = 0; j < 4; j++) {
                const __m256i b0 = _mm256_loadu_si256((const __m256i *)(w + j * 64));
                const __m256i b1 = _mm256_loadu_si256((const __m256i *)(w + j * 64 + 32));
                const __m256i l0 = _mm256_and_si256(b0, low), l1 = _mm256_and_si256(b1, low);
                const __m256i h0 = _mm256_and_si256(_mm256_srli_epi16(b0, 4), low);
                const __m256i h1 = _mm256_and_si256(_mm256_srli_epi16(b1, 4), low);
#pragma GCC unroll 4
                for (int m = 0; m < mt; m++) {
                    const int8_t *x = inputs + (j * 2 * INT_TOKENS + m) * 4;
                    const __m256i x0 = quad(x), x1 = quad(x + INT_TOKENS * 4);
                    /* 15 · 127 · 2 · 8 fits 16 bits. */
                    s[m][0] = _mm256_add_epi16(s[m][0], _mm256_add_epi16(_mm256_maddubs_epi16(l0, x0), _mm256_maddubs_epi16(h0, x1)));
                    s[m][1] = _mm256_add_epi16(s[m][1], _mm256_add_epi16(_mm256_maddubs_epi16(l1, x0), _mm256_maddubs_epi16(h1, x1)));
                }
            }
            w += 256;
#pragma GCC unroll 4
            for (int m = 0; m < mt; m++) {
                const __m256i shift = _mm256_set1_epi32(in->shift[at + m]);
                s[m][0] = _mm256_add_epi32(_mm256_madd_epi16(s[m][0], _mm256_set1_epi16(1)), shift);
                s[m][1] = _mm256_add_epi32(_mm256_madd_epi16(s[m][1], _mm256_set1_epi16(1)), shift);
            }
        } else {
/* Unrolled, gcc adds the products up in an order that keeps all of them, in memory. */
#pragma GCC unroll 1
            for (int j = 0; j < 8; j++) {
                const __m256i w0 = _mm256_loadu_si256((const __m256i *)(w + j * 64));
                const __m256i w1 = _mm256_loadu_si256((const __m256i *)(w + j * 64 + 32));
#pragma GCC unroll 4
                for (int m = 0; m < mt; m++) {
                    const __m256i x = quad(inputs + (j * INT_TOKENS + m) * 4);
                    s[m][0] = dot(s[m][0], w0, x);
                    s[m][1] = dot(s[m][1], w1, x);
                }
            }
            w += 512;
        }
#pragma GCC unroll 4
        for (int m = 0; m < mt; m++) sums[m][0] = (v8i)s[m][0], sums[m][1] = (v8i)s[m][1];
#else
        for (int m = 0; m < mt; m++) {
            const int8_t *x = inputs + m * 4;
            for (int half = 0; half < 2; half++)
                for (int r = 0; r < 8; r++) {
                    int32_t sum = 0;
                    for (int j = 0; j < 8; j++)
                        for (int i = 0; i < 4; i++) {
                            int32_t value;
                            if (is_int4) {
                                const uint8_t byte = w[(j / 2) * 64 + half * 32 + r * 4 + i];
                                value = (j % 2 ? byte >> 4 : byte & 15) - 8;
                            } else value = w[j * 64 + half * 32 + r * 4 + i] - 128;
                            sum += value * x[j * INT_TOKENS * 4 + i];
                        }
                    sums[m][half][r] = sum;
                }
        }
        w += is_int4 ? 256 : 512;
#endif
        const v8 s0 = from_bf16_8(scales + g * 16), s1 = from_bf16_8(scales + g * 16 + 8);
#pragma GCC unroll 4
        for (int m = 0; m < mt; m++) {
            const v8 x = all8(in->scale[at + m]);
            acc[m][0] += __builtin_convertvector(sums[m][0], v8) * (s0 * x);
            acc[m][1] += __builtin_convertvector(sums[m][1], v8) * (s1 * x);
        }
    }
#pragma GCC unroll 4
    for (int m = 0; m < mt; m++) {
        float *out = c + m * ldc;
        if (add) acc[m][0] += load8(out), acc[m][1] += load8(out + 8);
        store8(out, acc[m][0]);
        store8(out + 8, acc[m][1]);
    }
}
#endif
INLINE void int_panel(const int is_int4, i64 tokens, i64 groups, const Inputs *in, const uint8_t *w,
                      const uint16_t *scales, float *c, i64 ldc, int add) {
#define INT_TILE(mt) case mt: int_tile(mt, is_int4, groups, in, m, w, scales, out, ldc, add); break;
    for (i64 m = 0; m < tokens; m += INT_TOKENS) {
        float *out = c + m * ldc;
        switch (MIN(INT_TOKENS, tokens - m)) {
            INT_TILE(1) INT_TILE(2) INT_TILE(3) INT_TILE(4)
#ifdef WIDE_INTEGERS
            INT_TILE(5) INT_TILE(6) INT_TILE(7) INT_TILE(8)
#endif
        }
    }
}

static void float_panels(const int is_bf16, const Matrix *w, const Inputs *in, i64 tokens, float *c, i64 ldc, int add,
                         i64 first, i64 last) {
    const size_t size = is_bf16 ? 2 : 4;
    for (i64 p = first; p < last; p += 4) {
        const void *b[4];
        float *out[4];
        const i64 num = MIN(4, last - p);
        for (i64 i = 0; i < num; i++) {
            b[i] = (const char *)w->data + (size_t)((p + i) * w->cols * 16) * size;
            out[i] = c + (p + i) * 16;
        }
        if (is_bf16) float_block(1, tokens, w->cols, in->x, in->stride, b, num, 16, out, ldc, add);
        else float_block(0, tokens, w->cols, in->x, in->stride, b, num, 16, out, ldc, add);
    }
}
/* A thread's share of c[token][rows] (+)= inputs · weights. */
static void multiply(const Matrix *w, const Inputs *in, i64 tokens, float *c, i64 ldc, int add, int thread, int num_threads) {
    const i64 panels = w->rows / 16, groups = w->cols / 32;
    const i64 first = panels * thread / num_threads, last = panels * (thread + 1) / num_threads;
    if (w->kind == FLOAT32) float_panels(0, w, in, tokens, c, ldc, add, first, last);
    else if (w->kind == BFLOAT16) float_panels(1, w, in, tokens, c, ldc, add, first, last);
    else
        for (i64 p = first; p < last; p++) {
            const uint16_t *scales = w->scales + p * groups * 16;
            float *out = c + p * 16;
            if (w->kind == INT8) int_panel(0, tokens, groups, in, (const uint8_t *)w->data + p * groups * 512, scales, out, ldc, add);
            else int_panel(1, tokens, groups, in, (const uint8_t *)w->data + p * groups * 256, scales, out, ldc, add);
        }
}
