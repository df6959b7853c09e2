/* Training kernels for processors: everything of a step between its large matrix products, each in
   one pass over memory. Plain C and OpenMP: compiled in two seconds for the machine it runs on.
   Every function has an obvious twin in Python and a test that they agree. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;

enum { SMALL = 16384 }; /* elements below which waking other threads costs more than it saves */
enum { PARTS = 16 };    /* shares a sum over rows is made of, whatever the number of threads */

/* e^x to 2 units in the last place: x = n ln 2 + r, a polynomial of r (Cephes, expf.c) times 2^n.
   Vectorises, unlike the C library's. Below e^-87 it is 0, above e^88 it stays there. */
static inline float fast_exp(float x) {
    float y = x > 88.0f ? 88.0f : x;
    y = y < -87.0f ? -87.0f : y;
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
    return x < -87.0f ? 0.0f : p * power;
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

#define REAL float
#define LOAD(x) (x)
#define STORE(x) (x)
#define NAME(f) f##_float
#include "elementwise.h"
#undef REAL
#undef LOAD
#undef STORE
#undef NAME
#define REAL bf16
#define LOAD(x) from_bf16(x)
#define STORE(x) to_bf16(x)
#define NAME(f) f##_bf16
#include "elementwise.h"

/* nats[i] = log sum exp(scores[i]) - scores[i][target[i]] for scores bounded by cap * tanh(s / cap)
   where cap > 0. With `gradient` the scores become d nats / d scores. */
void cross_entropy(float *scores, const i64 *targets, float *nats, i64 rows, i64 words, float cap,
                   int gradient) {
#pragma omp parallel if (rows * words > SMALL)
    {
        float *slope = cap > 0.0f ? malloc(sizeof(float) * (size_t)words) : NULL;
#pragma omp for schedule(static)
        for (i64 i = 0; i < rows; i++) {
            float *row = scores + i * words;
            const i64 target = targets[i];
            if (slope) {
#pragma omp simd
                for (i64 j = 0; j < words; j++) {
                    const float tanh_ = 1.0f - 2.0f / (fast_exp(row[j] * (2.0f / cap)) + 1.0f);
                    slope[j] = 1.0f - tanh_ * tanh_;
                    row[j] = cap * tanh_;
                }
            }
            float top = row[0], sum = 0.0f;
#pragma omp simd reduction(max : top)
            for (i64 j = 0; j < words; j++) top = row[j] > top ? row[j] : top;
            const float score = row[target];
            if (!gradient) {
#pragma omp simd reduction(+ : sum)
                for (i64 j = 0; j < words; j++) sum += fast_exp(row[j] - top);
                nats[i] = logf(sum) + top - score;
                continue;
            }
#pragma omp simd reduction(+ : sum)
            for (i64 j = 0; j < words; j++) {
                const float e = fast_exp(row[j] - top);
                row[j] = e;
                sum += e;
            }
            nats[i] = logf(sum) + top - score;
            const float inverse = 1.0f / sum;
#pragma omp simd
            for (i64 j = 0; j < words; j++) row[j] *= inverse;
            row[target] -= 1.0f;
            if (slope) {
#pragma omp simd
                for (i64 j = 0; j < words; j++) row[j] *= slope[j];
            }
        }
        free(slope);
    }
}

/* The matrix product of the library torch brings along, Fortran's calling convention. */
typedef void sgemm_t(const char *, const char *, const int *, const int *, const int *,
                     const float *, const float *, const int *, const float *, const int *,
                     const float *, float *, const int *);

/* C[m, n] = alpha A B + beta C, rows contiguous; A is [m, k] or, transposed, [k, m]; B likewise. */
static void multiply(sgemm_t *sgemm, char ta, char tb, i64 m, i64 n, i64 k, float alpha,
                     const float *a, i64 lda, const float *b, i64 ldb, float beta, float *c,
                     i64 ldc) {
    const int M = (int)m, N = (int)n, K = (int)k, la = (int)lda, lb = (int)ldb, lc = (int)ldc;
    sgemm(&tb, &ta, &N, &M, &K, &alpha, b, &lb, a, &la, &beta, c, &lc);
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

/* Scores of queries start .. stop-1 and keys 0 .. stop-1 of one head, scaled, with bias. */
static void scores_of(const attention_shape *a, sgemm_t *sgemm, const float *q, const float *k,
                      i64 b, i64 start, i64 stop, float *s) {
    multiply(sgemm, 'N', 'T', stop - start, stop, a->width, a->scale, q, a->q.token, k, a->k.token,
             0.0f, s, stop);
    if (!a->bias) return;
    for (i64 i = 0; i < stop - start; i++) {
        const float *bias = a->bias + b * a->bias_batch + (start + i) * a->tokens;
#pragma omp simd
        for (i64 j = 0; j <= start + i; j++) s[i * stop + j] += bias[j];
    }
}

/* out = softmax(scale q k^T + bias) v, no query seeing a later key; lse keeps log sum exp. */
void attention(const attention_shape *a, sgemm_t *sgemm, const float *q, const float *k,
               const float *v, float *out, float *lse) {
    const i64 group = a->heads / a->kv_heads;
#pragma omp parallel
    {
        float *s = malloc(sizeof(float) * (size_t)(a->block * a->tokens));
#pragma omp for schedule(dynamic, 1)
        for (i64 task = 0; task < a->batch * a->heads; task++) {
            const i64 b = task / a->heads, h = task % a->heads, g = h / group;
            const float *kh = AT(k, a->k, b, g, 0), *vh = AT(v, a->v, b, g, 0);
            for (i64 start = 0; start < a->tokens; start += a->block) {
                const i64 stop = start + a->block < a->tokens ? start + a->block : a->tokens;
                scores_of(a, sgemm, AT(q, a->q, b, h, start), kh, b, start, stop, s);
                for (i64 i = 0; i < stop - start; i++) {
                    float *row = s + i * stop, top = row[0], sum = 0.0f;
                    const i64 seen = start + i + 1;
#pragma omp simd reduction(max : top)
                    for (i64 j = 0; j < seen; j++) top = row[j] > top ? row[j] : top;
#pragma omp simd reduction(+ : sum)
                    for (i64 j = 0; j < seen; j++) {
                        const float e = fast_exp(row[j] - top);
                        row[j] = e;
                        sum += e;
                    }
                    const float inverse = 1.0f / sum;
#pragma omp simd
                    for (i64 j = 0; j < seen; j++) row[j] *= inverse;
                    memset(row + seen, 0, sizeof(float) * (size_t)(stop - seen));
                    lse[task * a->tokens + start + i] = top + logf(sum);
                }
                multiply(sgemm, 'N', 'N', stop - start, a->width, stop, 1.0f, s, stop, vh,
                         a->v.token, 0.0f, AT(out, a->out, b, h, start), a->out.token);
            }
        }
        free(s);
    }
}

/* The weights w are made again from lse. dv = w^T g, dw = g v^T, ds = w (dw - sum(g out)) scale,
   dq = ds k, dk = ds^T q; query heads that share keys and values are one task. */
void attention_backward(const attention_shape *a, sgemm_t *sgemm, const float *q, const float *k,
                        const float *v, const float *out, const float *lse, const float *dout,
                        float *dq, float *dk, float *dv) {
    const i64 group = a->heads / a->kv_heads, last = (a->tokens - 1) / a->block * a->block;
#pragma omp parallel
    {
        float *w = malloc(sizeof(float) * (size_t)(a->block * a->tokens) * 2);
        float *dw = w + a->block * a->tokens;
#pragma omp for schedule(dynamic, 1)
        for (i64 task = 0; task < a->batch * a->kv_heads; task++) {
            const i64 b = task / a->kv_heads, g = task % a->kv_heads;
            const float *kh = AT(k, a->k, b, g, 0), *vh = AT(v, a->v, b, g, 0);
            float *dkh = AT(dk, a->dk, b, g, 0), *dvh = AT(dv, a->dv, b, g, 0);
            for (i64 h = g * group; h < (g + 1) * group; h++) {
                /* from the last block, which reaches all keys and so sets what others add to */
                for (i64 start = last; start >= 0; start -= a->block) {
                    const i64 stop = start + a->block < a->tokens ? start + a->block : a->tokens;
                    const i64 queries = stop - start;
                    const float keep = h == g * group && start == last ? 0.0f : 1.0f;
                    const float *qh = AT(q, a->q, b, h, start), *oh = AT(out, a->out, b, h, start);
                    const float *gh = AT(dout, a->dout, b, h, start);
                    const float *lh = lse + (b * a->heads + h) * a->tokens + start;
                    scores_of(a, sgemm, qh, kh, b, start, stop, w);
                    multiply(sgemm, 'N', 'T', queries, stop, a->width, 1.0f, gh, a->dout.token, vh,
                             a->v.token, 0.0f, dw, stop);
                    for (i64 i = 0; i < queries; i++) {
                        const i64 seen = start + i + 1;
                        float *row = w + i * stop, *drow = dw + i * stop, dot = 0.0f;
                        const float *grow = gh + i * a->dout.token, *orow = oh + i * a->out.token;
#pragma omp simd reduction(+ : dot)
                        for (i64 j = 0; j < a->width; j++) dot += grow[j] * orow[j];
                        const float shift = lh[i], scale = a->scale;
#pragma omp simd
                        for (i64 j = 0; j < seen; j++) {
                            const float e = fast_exp(row[j] - shift);
                            row[j] = e;
                            drow[j] = e * (drow[j] - dot) * scale;
                        }
                        memset(row + seen, 0, sizeof(float) * (size_t)(stop - seen));
                        memset(drow + seen, 0, sizeof(float) * (size_t)(stop - seen));
                    }
                    multiply(sgemm, 'T', 'N', stop, a->width, queries, 1.0f, w, stop, gh,
                             a->dout.token, keep, dvh, a->dv.token);
                    multiply(sgemm, 'T', 'N', stop, a->width, queries, 1.0f, dw, stop, qh,
                             a->q.token, keep, dkh, a->dk.token);
                    multiply(sgemm, 'N', 'N', queries, a->width, stop, 1.0f, dw, stop, kh,
                             a->k.token, 0.0f, AT(dq, a->dq, b, h, start), a->dq.token);
                }
            }
        }
        free(w);
    }
}
