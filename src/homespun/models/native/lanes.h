/* A vector register of floats at a time; included by kernels.c. Sums over a row are made lane by lane,
   then over the lanes by halves: adding up lane after lane would take longer than a short row does. */

INLINE float sum_of(lanes x) {
#ifdef __AVX512F__
    return _mm512_reduce_add_ps((__m512)x);
#else
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
#endif
}

INLINE float greatest_of(lanes x) {
#ifdef __AVX512F__
    return _mm512_reduce_max_ps((__m512)x);
#else
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] = part[i + half] > part[i] ? part[i + half] : part[i];
    return part[0];
#endif
}

/* x where it is greater or is not a number, else y. */
INLINE lanes greater(lanes y, lanes x) {
#ifdef __AVX512F__
    return (lanes)_mm512_max_ps((__m512)y, (__m512)x);
#else
    const whole_lanes keep = y > x;
    return (lanes)(((whole_lanes)y & keep) | ((whole_lanes)x & ~keep));
#endif
}

INLINE lanes lesser(lanes y, lanes x) {
#ifdef __AVX512F__
    return (lanes)_mm512_min_ps((__m512)y, (__m512)x);
#else
    const whole_lanes keep = y < x;
    return (lanes)(((whole_lanes)y & keep) | ((whole_lanes)x & ~keep));
#endif
}

/* 1 / x for x of at least 1, to the last place or the one before it. */
INLINE lanes inverse_of(lanes x) {
#ifdef __AVX512F__
    const lanes y = (lanes)_mm512_rcp14_ps((__m512)x);
    return y * (2.0f - x * y);
#else
    return 1.0f / x;
#endif
}

INLINE lanes all(float x) { return (lanes){0} + x; }

/* The body for every `num` numbers from `j` on: LANES, and what is left at the end. */
#define BY_LANES(size, ...) \
    do { \
        i64 j = 0; \
        for (; j + LANES <= (size); j += LANES) { \
            const i64 num = LANES; \
            __VA_ARGS__ \
        } \
        if (j < (size)) { \
            const i64 num = (size) - j; \
            __VA_ARGS__ \
        } \
    } while (0)

/* x with `fill` behind its first `num`. */
INLINE lanes only(lanes x, i64 num, float fill) {
    if (num >= LANES) return x;
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (i64 i = num; i < LANES; i++) part[i] = fill;
    memcpy(&x, part, sizeof x);
    return x;
}

/* e^x to 2 units in the last place: x = n ln 2 + r, a polynomial of r (Cephes, expf.c) times 2^n.
   Below e^-87.7 it is 0, above e^88 it stays there. */
INLINE lanes exp_of(lanes x) {
    const lanes y = greater(all(-88.0f), lesser(all(88.0f), x)); /* at -88 the power below is 0 */
    /* Adding and taking away 1.5 * 2^23 rounds to the nearest whole number. */
    const lanes n = (y * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
    const lanes r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r * r + r) + 1.0f;
    return p * (lanes)((__builtin_convertvector(n, whole_lanes) + 127) << 23);
}

/* Bits of bf16 numbers in the upper halves: to the nearest, ties to even; NaN stays NaN. */
INLINE bits_lanes rounded(lanes x) {
    const bits_lanes bits = (bits_lanes)x;
    const bits_lanes none = (bits_lanes)((bits & 0x7fffffffu) > 0x7f800000u);
    const bits_lanes near = bits + 0x7fffu + ((bits >> 16) & 1u);
    return (none & (bits | 0x400000u)) | (~none & near);
}

/* LANES numbers from memory and to it, in either type. */
INLINE lanes load_float(const float *x) { return *(const lanes_anywhere *)x; }
INLINE void store_float(float *to, lanes x) { *(lanes_anywhere *)to = x; }
INLINE bits_lanes widened(half_lanes x) {
#ifdef __AVX512F__
    return (bits_lanes)_mm512_cvtepu16_epi32((__m256i)x);
#else
    return __builtin_convertvector(x, bits_lanes);
#endif
}
INLINE lanes load_bf16(const bf16 *x) {
    return (lanes)(widened(*(const half_lanes_anywhere *)x) << 16);
}
INLINE half_lanes to_halves(lanes x) {
#ifdef __AVX512BF16__
    return (half_lanes)_mm512_cvtneps_pbh((__m512)x); /* denormal numbers become 0 */
#else
    return __builtin_convertvector(rounded(x) >> 16, half_lanes);
#endif
}
INLINE void store_bf16(bf16 *to, lanes x) { *(half_lanes_anywhere *)to = to_halves(x); }

/* Words of neighbouring bf16 numbers, the first from x, the second from y. */
INLINE bits_lanes pairs(lanes x, lanes y) {
#ifdef __AVX512BF16__
    return widened(to_halves(x)) | widened(to_halves(y)) << 16;
#else
    return rounded(x) >> 16 | (rounded(y) & 0xffff0000u);
#endif
}

/* As the instruction does, but for denormal numbers. */
INLINE lanes dot_bf16(lanes sum, lanes x, lanes y) {
#ifdef __AVX512BF16__
    return (lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
#else
    const whole_lanes high = (whole_lanes){0} - 65536;
    sum += (lanes)((whole_lanes)x << 16) * (lanes)((whole_lanes)y << 16);
    return sum + (lanes)((whole_lanes)x & high) * (lanes)((whole_lanes)y & high);
#endif
}
