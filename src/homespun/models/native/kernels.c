/* Training kernels for processors: everything of a step between its large matrix products, each in
   one pass over memory. Plain C and OpenMP: compiled in three seconds for the machine it runs on.
   Every function has an obvious twin in Python and a test that they agree. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

typedef int64_t i64;

/* Elements and products below which waking other threads costs more than it saves: idle ones a few
   microseconds, on a busy machine the time until the system gives them a core again. */
enum { SMALL = 16384, FEW_PRODUCTS = 1 << 20 };
enum { PARTS = 16 };    /* shares a sum over rows is made of, whatever the number of threads */

/* e^x to 2 units in the last place: x = n ln 2 + r, a polynomial of r (Cephes, expf.c) times 2^n.
   Vectorises, unlike the C library's. Below e^-87.7 it is 0, above e^88 it stays there. */
static inline float fast_exp(float x) {
    float y = 88.0f < x ? 88.0f : x;
    y = -88.0f > y ? -88.0f : y; /* where the power below is 0 */
    const float n = rintf(y * 1.44269504088896341f);
    const float r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r * r + r) + 1.0f;
    const int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

typedef struct {
    uint16_t bits;
} bf16;

static inline float from_bf16(bf16 x) {
    const uint32_t bits = (uint32_t)x.bits << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* to the nearest, ties to even; NaN stays NaN */
static inline bf16 to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t quiet = (bits >> 16) | 0x40u;
    const bf16 y = {(uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
    return y;
}

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

/* As the instruction does, but for denormal numbers. */
static inline __attribute__((always_inline)) lanes dot_bf16(lanes sum, lanes x, lanes y) {
#ifdef __AVX512BF16__
    return (lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
#else
    const whole_lanes high = (whole_lanes){0} - 65536;
    sum += (lanes)((whole_lanes)x << 16) * (lanes)((whole_lanes)y << 16);
    return sum + (lanes)((whole_lanes)x & high) * (lanes)((whole_lanes)y & high);
#endif
}

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
#define LOAD(x) (x)
#define STORE(x) (x)
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
#undef LOAD
#undef STORE
#undef NAME
#undef UNIT
#undef WORD
#undef DOT
#define REAL bf16
#define LOAD(x) from_bf16(x)
#define STORE(x) to_bf16(x)
#define NAME(f) f##_bf16
#define UNIT 2
#define WORD(x, y) word_of_bf16(x, y)
#define DOT(s, x, y) dot_bf16(s, x, y)
#include "elementwise.h"
#include "loss.h"
#include "tiles.h"
#include "attention.h"
