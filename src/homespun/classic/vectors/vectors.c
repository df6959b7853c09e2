/* The inner loops of word2vec and GloVe. word2vec_reference.py and glove_reference.py say the same
 * slowly; tests show that they agree. Several threads may call with the same weights at once, and
 * then lose an update now and then (Niu et al. 2011, "Hogwild"); one thread alone is exact.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define MAX_TARGETS 65 /* the word and at most 64 negative ones */
#define SIGMOID_LIMIT 8.0f
#define SIGMOID_STEPS 64 /* a unit of x */

typedef struct {
    int64_t dim, window, negative, num_words, cbow;
    const uint32_t *keep;  /* a word stays where 32 random bits are at most this */
    const uint32_t *coin;  /* alias table of the negative words: */
    const int32_t *other;  /* the cell itself below the coin, else the other */
    const float *sigmoid;  /* SIGMOID_STEPS * 2 * SIGMOID_LIMIT + 1 values */
    float *in, *out;       /* num_words x dim each */
} Word2Vec;

/* SplitMix64 (Steele, Lea & Flood 2014). */
static inline uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline float sigmoid(const float *table, float x) {
    if (x >= SIGMOID_LIMIT) return 1.0f;
    if (!(x > -SIGMOID_LIMIT)) return 0.0f;
    float at = (x + SIGMOID_LIMIT) * SIGMOID_STEPS;
    int cell = (int)at;
    return table[cell] + (at - (float)cell) * (table[cell + 1] - table[cell]);
}

static inline float dot(const float *a, const float *b, int64_t dim) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < dim; d++) sum += a[d] * b[d];
    return sum;
}

static inline void add_scaled(float *restrict to, const float *restrict from, float scale,
                              int64_t dim) {
#pragma omp simd
    for (int64_t d = 0; d < dim; d++) to[d] += scale * from[d];
}

/* One prediction of `word` from `hidden`: moves the output rows, leaves in `change` what the
 * input should move by. */
static void learn_pair(const Word2Vec *m, const float *restrict hidden, int32_t word, float rate,
                       float *restrict change, uint64_t *state) {
    int32_t targets[MAX_TARGETS];
    float steps[MAX_TARGETS];
    int64_t num = 1, dim = m->dim;
    targets[0] = word;
    for (int64_t k = 0; k < m->negative; k++) {
        uint64_t r = next_random(state);
        uint32_t cell = (uint32_t)(((r >> 32) * (uint64_t)m->num_words) >> 32);
        int32_t drawn = (uint32_t)r < m->coin[cell] ? (int32_t)cell : m->other[cell];
        if (drawn == word) continue;
        const char *row = (const char *)(m->out + drawn * dim);
        for (int64_t at = 0; at < 4 * dim; at += 64) __builtin_prefetch(row + at, 1);
        targets[num++] = drawn;
    }
    /* All sums before all changes: they do not wait for each other. */
    for (int64_t k = 0; k < num; k++) {
        float score = dot(hidden, m->out + targets[k] * dim, dim);
        steps[k] = rate * ((k == 0) - sigmoid(m->sigmoid, score));
    }
    memset(change, 0, sizeof(float) * dim);
    for (int64_t k = 0; k < num; k++) {
        float *restrict row = m->out + targets[k] * dim;
        float step = steps[k];
#pragma omp simd
        for (int64_t d = 0; d < dim; d++) {
            float was = row[d];
            change[d] += step * was;
            row[d] = was + step * hidden[d];
        }
    }
}

static void learn_skipgram(const Word2Vec *m, const int32_t *words, int64_t from, int64_t to,
                           int64_t at, float rate, float *change, uint64_t *state) {
    for (int64_t near = from; near < to; near++) {
        if (near == at) continue;
        float *in = m->in + words[near] * m->dim;
        learn_pair(m, in, words[at], rate, change, state);
        add_scaled(in, change, 1.0f, m->dim);
    }
}

static void learn_cbow(const Word2Vec *m, const int32_t *words, int64_t from, int64_t to,
                       int64_t at, float rate, float *change, float *hidden, uint64_t *state) {
    int64_t num = to - from - 1;
    if (num < 1) return;
    memset(hidden, 0, sizeof(float) * m->dim);
    float share = 1.0f / (float)num;
    for (int64_t near = from; near < to; near++)
        if (near != at) add_scaled(hidden, m->in + words[near] * m->dim, share, m->dim);
    learn_pair(m, hidden, words[at], rate, change, state);
    for (int64_t near = from; near < to; near++)
        if (near != at) add_scaled(m->in + words[near] * m->dim, change, 1.0f, m->dim);
}

/* Sentences `first` to `last` of tokens, sentence s being [starts[s], starts[s + 1]).
 * `scratch` has 2 * dim floats, `kept` room for the longest sentence. */
void homespun_word2vec(const Word2Vec *m, const int32_t *tokens, const int64_t *starts,
                       int64_t first, int64_t last, double rate_from, double rate_to,
                       uint64_t seed, float *scratch, int32_t *kept) {
    uint64_t state = seed;
    double total = (double)(starts[last] - starts[first]);
    for (int64_t s = first; s < last; s++) {
        double done = (double)(starts[s] - starts[first]) / total;
        float rate = (float)(rate_from + (rate_to - rate_from) * done);
        int64_t num = 0;
        for (int64_t t = starts[s]; t < starts[s + 1]; t++)
            if ((uint32_t)(next_random(&state) >> 32) <= m->keep[tokens[t]]) kept[num++] = tokens[t];
        for (int64_t at = 0; at < num; at++) {
            uint64_t r = next_random(&state) >> 32;
            int64_t reach = 1 + (int64_t)((r * (uint64_t)m->window) >> 32);
            int64_t from = at > reach ? at - reach : 0;
            int64_t to = at + reach + 1 < num ? at + reach + 1 : num;
            if (m->cbow)
                learn_cbow(m, kept, from, to, at, rate, scratch, scratch + m->dim, &state);
            else
                learn_skipgram(m, kept, from, to, at, rate, scratch, &state);
        }
    }
}

/* Rows 0 .. V-1 are words, rows V .. 2V-1 the same words as contexts. */
typedef struct {
    int64_t dim, num_words;
    float *vectors, *squares;           /* 2V x dim: values, and AdaGrad's sums of squares */
    float *biases, *bias_squares;       /* 2V */
    float rate;
} Glove;

static inline void adagrad(float *value, float *squares, float step) {
    *value -= step / sqrtf(*squares);
    *squares += step * step;
}

void homespun_glove(const Glove *m, const int32_t *words, const int32_t *contexts,
                    const float *logs, const float *weights, int64_t num) {
    int64_t dim = m->dim;
    for (int64_t k = 0; k < num; k++) {
        if (k + 4 < num) {
            const int64_t ahead[2] = {words[k + 4], m->num_words + contexts[k + 4]};
            for (int side = 0; side < 2; side++)
                for (int64_t d = 0; d < dim; d += 16) {
                    __builtin_prefetch(m->vectors + ahead[side] * dim + d, 1);
                    __builtin_prefetch(m->squares + ahead[side] * dim + d, 1);
                }
        }
        int64_t a = words[k], b = m->num_words + contexts[k];
        float *restrict va = m->vectors + a * dim, *restrict vb = m->vectors + b * dim;
        float *restrict sa = m->squares + a * dim, *restrict sb = m->squares + b * dim;
        float gap = dot(va, vb, dim) + m->biases[a] + m->biases[b] - logs[k];
        float scale = m->rate * weights[k] * gap;
#pragma omp simd
        for (int64_t d = 0; d < dim; d++) {
            float to_a = scale * vb[d], to_b = scale * va[d];
            va[d] -= to_a / sqrtf(sa[d]);
            vb[d] -= to_b / sqrtf(sb[d]);
            sa[d] += to_a * to_a;
            sb[d] += to_b * to_b;
        }
        adagrad(m->biases + a, m->bias_squares + a, scale);
        adagrad(m->biases + b, m->bias_squares + b, scale);
    }
}
