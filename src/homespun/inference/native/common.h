/* Vectors and exponentials, for decode.c. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../models/native/log.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef int64_t i64;
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t v8i __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint16_t v8h __attribute__((vector_size(16), aligned(2), may_alias));
typedef int8_t v8b __attribute__((vector_size(8), aligned(1), may_alias));
typedef uint32_t v8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t v16i __attribute__((vector_size(64), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

INLINE v8 load8(const float *p) { return *(const v8 *)p; }
INLINE void store8(float *p, v8 v) { *(v8 *)p = v; }
INLINE v8 all8(float x) { return (v8){x, x, x, x, x, x, x, x}; }
INLINE float sum8(v8 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

/* The greater of two, lane by lane; what is no number is not greater. */
INLINE v8 max8(v8 x, v8 than) {
    const v8i greater = x > than;
    return (v8)(((v8i)x & greater) | ((v8i)than & ~greater));
}
INLINE v16 load16(const float *p) { return *(const v16 *)p; }
INLINE void store16(float *p, v16 v) { *(v16 *)p = v; }
INLINE v16 all16(float x) { return x - (v16){0}; }
INLINE float sum16(v16 v) {
    v8 halves[2];
    memcpy(halves, &v, sizeof v);
    return sum8(halves[0] + halves[1]);
}
INLINE float highest8(v8 v) {
    float most = v[0];
    for (int lane = 1; lane < 8; lane++) most = v[lane] > most ? v[lane] : most;
    return most;
}

/* e^x to about one unit in the last place, for x of at most 80; 0 below -87. Range reduction by
   log 2 in two parts and the polynomial of Cephes' expf (Moshier 1989). Adding and taking away
   1.5 · 2^23 rounds to the nearest whole number. */
#define EXP(x, V, VI)                                                     \
    const VI dead = x < -87.0f;                                           \
    const V t = x * 1.44269504088896341f;                                 \
    const V whole = (t + 12582912.0f) - 12582912.0f;                      \
    V r = x - whole * 0.693359375f;                                       \
    r = r - whole * -2.12194440e-4f;                                      \
    V p = 1.9875691500e-4f * r + 1.3981999507e-3f;                        \
    p = p * r + 8.3334519073e-3f;                                         \
    p = p * r + 4.1665795894e-2f;                                         \
    p = p * r + 1.6666665459e-1f;                                         \
    p = p * r + 5.0000001201e-1f;                                         \
    p = p * r * r + r + 1.0f;                                             \
    const VI power = (__builtin_convertvector(whole, VI) + 127) << 23;    \
    return (V)((VI)(p * (V)power) & ~dead);
INLINE v8 exp8(v8 x) { EXP(x, v8, v8i) }
INLINE v16 exp16(v16 x) { EXP(x, v16, v16i) }
INLINE v8 sigmoid8(v8 x) {
    /* Of the absolute value, so that the power stays in range. */
    const v8i negative = x < all8(0.0f);
    const v8 a = (v8)((v8i)x & 0x7fffffff);
    const v8 e = exp8(-a);
    const v8 big = 1.0f / (1.0f + e), small = e / (1.0f + e);
    return (v8)(((v8i)small & negative) | ((v8i)big & ~negative));
}
INLINE float sigmoid1(float x) { return sigmoid8(all8(x))[0]; }

/* log x of normal numbers; of 0 it is -infinity. */
INLINE v8 log8(v8 x) {
    const v8i power = ((v8i)x - 0x3f3504f3) >> 23; /* x = m 2^power, m from sqrt(1/2) to sqrt(2) */
    const v8 f = (v8)((v8i)x - (power << 23)) - 1.0f, n = __builtin_convertvector(power, v8);
    const v8 y = LOG_OF_PARTS(f, n);
    const v8i positive = x > all8(0.0f);
    return (v8)(((v8i)y & positive) | ((v8i)all8(-INFINITY) & ~positive));
}
