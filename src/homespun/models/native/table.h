/* Rows of log probabilities of an n-gram table, and what followed earlier in a context. */
#include "log.h"

enum { MOST_ORDERS = 64 };

/* n-grams of an order, sorted by history: those of history h are starts[h] .. starts[h + 1] - 1. Mass
   and backoff have a row for each table. */
typedef struct {
    const i64 *histories; /* of each row, -1 where it was never seen */
    const i64 *starts;
    const int32_t *words;
    const float *mass, *backoff;
    i64 num_grams, num_histories;
} table_order;

/* log x of normal numbers; of 0 it is -infinity. */
static inline float fast_log(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t power = (bits - 0x3f3504f3) >> 23; /* x = m 2^power, m from sqrt(1/2) to sqrt(2) */
    bits -= (int32_t)((uint32_t)power << 23);
    float m;
    memcpy(&m, &bits, sizeof m);
    const float f = m - 1.0f, n = (float)power;
    return x > 0.0f ? LOG_OF_PARTS(f, n) : -INFINITY;
}

/* What a text says of itself: of row i the length of a run that stood before, and what followed it
   then, -1 where there is no more; odds[length] is how much that counts. NULL for nothing. */
typedef struct {
    const i64 *at; /* rows of 1 + most numbers, `stride` apart */
    const float *odds;
    i64 most, stride;
} copied;

/* How many of the followers of a run are words that are kept. */
static inline i64 num_known(const i64 *run, i64 most, i64 kept) {
    i64 known = 0;
    if (run[0] > 0)
        for (i64 f = 1; f <= most; f++) known += run[f] >= 0 && run[f] < kept;
    return known;
}

/* out[i][v] = log p of word v < kept after row i's histories, by table number tables[i]: every order
   adds its mass to what is left of the shorter ones, and what followed earlier takes its share first. */
void table_rows(const table_order *orders, i64 num_orders, const float *unigram, const i64 *tables,
                float *out, i64 rows, i64 words, i64 kept, i64 stride, const copied *copies) {
#pragma omp parallel if (rows * words > SMALL)
    {
        float *p = (float *)scratch(words);
#pragma omp for schedule(static)
        for (i64 i = 0; i < rows; i++) {
            float left[MOST_ORDERS + 1]; /* of an order's mass, once the longer ones took theirs */
            const i64 *run = copies->at ? copies->at + i * copies->stride : NULL;
            const i64 known = run ? num_known(run, copies->most, kept) : 0;
            const float odds = known ? copies->odds[run[0]] : 0.0f;
            left[num_orders] = 1.0f / (1.0f + odds);
            for (i64 k = num_orders - 1; k >= 0; k--) {
                const table_order *order = orders + k;
                const i64 history = order->histories[i];
                left[k] = left[k + 1];
                if (history >= 0)
                    left[k] *= order->backoff[tables[i] * order->num_histories + history];
            }
            const float *base = unigram + tables[i] * words, share = left[0];
#pragma omp simd
            for (i64 v = 0; v < words; v++) p[v] = base[v] * share;
            for (i64 k = 0; k < num_orders; k++) {
                const table_order *order = orders + k;
                const i64 history = order->histories[i];
                if (history < 0) continue;
                const float *mass = order->mass + tables[i] * order->num_grams;
                for (i64 e = order->starts[history]; e < order->starts[history + 1]; e++)
                    p[order->words[e]] += mass[e] * left[k + 1];
            }
            if (known)
                for (i64 f = 1; f <= copies->most; f++)
                    if (run[f] >= 0 && run[f] < kept)
                        p[run[f]] += odds / (float)known * left[num_orders];
#pragma omp simd
            for (i64 v = 0; v < kept; v++) out[i * stride + v] = fast_log(p[v]);
        }
        free(p);
    }
}

/* The longest run of at most `longest` tokens that ends at each of the last `last` tokens of a row and
   stood in it before, and the `most` latest that followed one of that length. Runs keep to what lies
   from begins[t] on (NULL: from the first token on); ids below 0 are like no other. */
void find_copies(const i64 *ids, const i64 *begins, i64 *out, i64 rows, i64 tokens, i64 last,
                 i64 longest, i64 most) {
#pragma omp parallel for schedule(static) if (rows * tokens * last > SMALL)
    for (i64 at = 0; at < rows * last; at++) {
        const i64 row = at / last, t = tokens - last + at % last;
        const i64 *text = ids + row * tokens, begin = begins ? begins[row * tokens + t] : 0;
        i64 *found = out + at * (1 + most), best = 0, num = 0;
        for (i64 s = t - 1; s >= begin && text[t] >= 0; s--) {
            if (text[s] != text[t]) continue;
            i64 length = 1;
            while (length < longest && s - length >= begin && text[s - length] >= 0 &&
                   text[s - length] == text[t - length])
                length++;
            if (length > best) best = length, num = 0;
            if (length == best && num < most) found[1 + num++] = text[s + 1];
        }
        found[0] = best;
        while (num < most) found[1 + num++] = -1;
    }
}
