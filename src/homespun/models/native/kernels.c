/* Training kernels for processors: everything of a step between its large matrix products, each in
   one pass over memory. Plain C and OpenMP: compiled in three seconds for the machine it runs on.
   Every function has an obvious twin in Python and a test that they agree. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

typedef int64_t i64;

/* Elements and products below which waking other threads costs more than it saves: idle ones a few
   microseconds, on a busy machine the time until the system gives them a core again. */
enum { SMALL = 16384, FEW_PRODUCTS = 1 << 20 };
enum { PARTS = 16 };    /* shares a sum over rows is made of, whatever the number of threads */

typedef struct {
    uint16_t bits;
} bf16;

/* A vector register, and the part of a product that is summed up in registers: 12 or 24 of the 16 or
   32 there are. A word is a float or two neighbouring bf16. */
#if defined(__AVX512F__) || defined(WIDE)
enum { LANES = 16, TILE_ROWS = 12 };
#else
enum { LANES = 8, TILE_ROWS = 6 };
#endif
enum { TILE_COLUMNS = 2 * LANES };
typedef uint32_t __attribute__((may_alias)) word;
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef float lanes_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t whole_lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits_lanes __attribute__((vector_size(4 * LANES)));
typedef uint16_t half_lanes __attribute__((vector_size(2 * LANES)));
typedef uint16_t half_lanes_anywhere __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
#define INLINE static inline __attribute__((always_inline))

/* Rows of scores are worked on in whole registers. */
static i64 whole_registers(i64 columns) { return (columns + LANES - 1) / LANES * LANES; }

static i64 whole_tiles(i64 columns) {
    return (columns + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
}

static word *scratch(i64 words) {
    return aligned_alloc(64, (sizeof(word) * (size_t)words + 63) / 64 * 64);
}

static inline word word_of_float(float x, float unused) {
    word y;
    (void)unused;
    memcpy(&y, &x, sizeof y);
    return y;
}

static inline word word_of_bf16(bf16 x, bf16 y) { return (word)x.bits | (word)y.bits << 16; }

#include "lanes.h"

/* Distances in elements from one batch row, head and token to the next; components are adjacent. */
typedef struct {
    i64 batch, head, token;
} strides;

typedef struct {
    i64 batch, heads, kv_heads, tokens, width, block;
    float scale;
    strides q, k, v, out, dq, dk, dv, dout;
    const float *bias; /* NULL, or added to the scores, [bias_batch == 0 ? 1 : batch, T, T] */
    i64 bias_batch;
} attention_shape;

#define AT(x, s, b, h, t) ((x) + (b) * (s).batch + (h) * (s).head + (t) * (s).token)

/* Where there is a bias, the scores of a query become scale * score + bias; returns what is left to
   multiply them by. */
static float biased(const attention_shape *a, i64 b, i64 query, float *scores) {
    if (!a->bias) return a->scale;
    const float *bias = a->bias + b * a->bias_batch + query * a->tokens;
#pragma omp simd
    for (i64 j = 0; j <= query; j++) scores[j] = scores[j] * a->scale + bias[j];
    return 1.0f;
}

#include "table.h"

#define REAL float
#define NAME(f) f##_float
#define UNIT 1
#define WORD(x, y) word_of_float(x, y)
#define DOT(s, x, y) ((s) + (x) * (y))
#include "elementwise.h"
#include "loss.h"
#include "tiles.h"
#include "attention.h"
#include "product.h"
#undef REAL
#undef NAME
#undef UNIT
#undef WORD
#undef DOT
#define REAL bf16
#define NAME(f) f##_bf16
#define UNIT 2
#define WORD(x, y) word_of_bf16(x, y)
#define DOT(s, x, y) dot_bf16(s, x, y)
#include "elementwise.h"
#include "loss.h"
#include "tiles.h"
#include "attention.h"
