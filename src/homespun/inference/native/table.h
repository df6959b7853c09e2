/* What an n-gram table beside the model, and the row's own context, say comes next: the slow version
   is models/prior. */
#pragma once
#include "common.h"

/* n-grams of an order above 1, sorted by key: id of the first n - 1 tokens · words + last token, where
   an n-gram's id is its place. Those of history h are starts[h] .. starts[h + 1] - 1. */
typedef struct {
    const i64 *keys, *starts;
    const int32_t *words;
    const float *mass, *backoff;
    i64 num;
} Ngrams;

typedef struct {
    i64 num_orders, num_words; /* orders above 1 */
    const Ngrams *orders;      /* of 2, 3, … tokens */
    const float *unigram;      /* [num_words] */
    const float *odds;         /* [LONGEST_RUN + 1], NULL where the context is not looked at */
    const float *gate;         /* [width]: the table counts base + gate · hidden times */
    float base;
} Table;

enum { LONGEST_RUN = 12, MOST_FOLLOWERS = 8, LONGEST_NGRAM = 64 };

static i64 find_ngram(const Ngrams *order, i64 key) {
    i64 low = 0, high = order->num;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (order->keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low < order->num && order->keys[low] == key ? low : -1;
}

/* Id of the n-gram that ends the row, -1 where the text has none such. */
static i64 ending_ngram(const Table *table, const int32_t *ids, i64 num, i64 n) {
    if (n > num) return -1;
    i64 gram = ids[num - n];
    for (i64 i = 1; i < n && gram >= 0; i++) gram = find_ngram(table->orders + i - 1, gram * table->num_words + ids[num - n + i]);
    return gram;
}

/* What followed the longest run that ends the row and stood in it before, the latest first. Returns how
   many; `run` is how long it is. */
static i64 find_followers(const int32_t *ids, i64 num, i64 *run, int32_t *followers) {
    i64 count = 0;
    *run = 0;
    for (i64 s = num - 2; s >= 0; s--) {
        i64 length = 0;
        while (length < LONGEST_RUN && length <= s && ids[s - length] == ids[num - 1 - length]) length++;
        if (length > *run) *run = length, count = 0;
        if (length == *run && length > 0 && count < MOST_FOLLOWERS) followers[count++] = ids[s + 1];
    }
    return count;
}

/* p: room for num_words. scores[v] += strength · log p(v | the row's ids). */
static void add_table(const Table *table, const int32_t *ids, i64 num, const float *hidden, i64 width, float *p, float *scores) {
    i64 history[LONGEST_NGRAM];
    float left[LONGEST_NGRAM + 1]; /* of an order's mass, once the longer ones took theirs */
    left[table->num_orders] = 1.0f;
    for (i64 k = table->num_orders - 1; k >= 0; k--) {
        history[k] = ending_ngram(table, ids, num, k + 1);
        left[k] = left[k + 1] * (history[k] < 0 ? 1.0f : table->orders[k].backoff[history[k]]);
    }
    const i64 V = table->num_words;
    for (i64 v = 0; v < V; v++) p[v] = table->unigram[v] * left[0];
    for (i64 k = 0; k < table->num_orders; k++) {
        const Ngrams *order = table->orders + k;
        if (history[k] < 0) continue;
        for (i64 e = order->starts[history[k]]; e < order->starts[history[k] + 1]; e++) p[order->words[e]] += order->mass[e] * left[k + 1];
    }
    float whole = 1.0f;
    if (table->odds) {
        int32_t followers[MOST_FOLLOWERS];
        i64 run, count = find_followers(ids, num, &run, followers), known = 0;
        for (i64 i = 0; i < count; i++)
            if (followers[i] < V) followers[known++] = followers[i];
        for (i64 i = 0; i < known; i++) p[followers[i]] += table->odds[run] / (float)known;
        if (known > 0) whole += table->odds[run];
    }
    float strength = table->base;
    for (i64 i = 0; i < width; i++) strength += hidden[i] * table->gate[i];
    const float log_whole = logf(whole);
    i64 v = 0;
    for (; v + 8 <= V; v += 8) store8(scores + v, load8(scores + v) + strength * (log8(load8(p + v)) - log_whole));
    for (; v < V; v++) scores[v] += strength * (log8(all8(p[v]))[0] - log_whole);
}
