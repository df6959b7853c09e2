/* The loops of kernels.py that numpy has no quick word for. Each has its twin there.

   A record is W words of 64 bits, the first the most significant; `first` holds, for each n-gram
   of an order, where those that go on from it begin in the next order, and one end more. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Sort M records by their bytes, the last first: a stable counting sort a byte. Bytes that are
   alike in all records, as the high ones are, cost one look. Returns 0 if there is no memory. */
static int radix(uint64_t *records, int64_t num, int width) {
    uint64_t *scratch = malloc((size_t)num * width * 8);
    if (!scratch) return 0;
    uint64_t *from = records, *to = scratch;
    for (int word = width - 1; word >= 0; word--) {
        int64_t sizes[8][256];
        memset(sizes, 0, sizeof sizes);
        for (int64_t i = 0; i < num; i++) {
            uint64_t value = from[i * width + word];
            for (int byte = 0; byte < 8; byte++) sizes[byte][value >> (8 * byte) & 255]++;
        }
        for (int byte = 0; byte < 8; byte++) {
            int64_t *size = sizes[byte], at = 0;
            if (size[from[word] >> (8 * byte) & 255] == num) continue;
            for (int digit = 0; digit < 256; digit++) {
                int64_t here = size[digit];
                size[digit] = at;
                at += here;
            }
            for (int64_t i = 0; i < num; i++) {
                const uint64_t *record = from + i * width;
                uint64_t *target = to + width * size[record[word] >> (8 * byte) & 255]++;
                for (int j = 0; j < width; j++) target[j] = record[j];
            }
            uint64_t *swap = from;
            from = to, to = swap;
        }
    }
    if (from != records) memcpy(records, from, (size_t)num * width * 8);
    free(scratch);
    return 1;
}

static inline int compare(const uint64_t *a, const uint64_t *b, int width) {
    for (int j = 0; j < width; j++)
        if (a[j] != b[j]) return a[j] < b[j] ? -1 : 1;
    return 0;
}

/* Sort `records` in place, keep each once in front and how often it was there in `counts`.
   Returns how many are left, -1 if there is no memory. */
int64_t count_records(uint64_t *records, int64_t num, int64_t width, int64_t *counts) {
    if (!num) return 0;
    if (!radix(records, num, (int)width)) return -1;
    int64_t last = 0;
    counts[0] = 1;
    for (int64_t i = 1; i < num; i++) {
        if (compare(records + i * width, records + last * width, (int)width)) {
            last++;
            memmove(records + last * width, records + i * width, (size_t)width * 8);
            counts[last] = 0;
        }
        counts[last]++;
    }
    return last + 1;
}

/* Merge two sorted sets of records into one, adding counts. Returns how many there are. */
int64_t merge_records(const uint64_t *a, const int64_t *counts_a, int64_t num_a, const uint64_t *b,
                      const int64_t *counts_b, int64_t num_b, int64_t width, uint64_t *out,
                      int64_t *counts) {
    int64_t i = 0, j = 0, num = 0;
    while (i < num_a || j < num_b) {
        int order = i == num_a ? 1 : j == num_b ? -1
                  : compare(a + i * width, b + j * width, (int)width);
        memcpy(out + num * width, order <= 0 ? a + i * width : b + j * width, (size_t)width * 8);
        counts[num] = 0;
        if (order <= 0) counts[num] += counts_a[i++];
        if (order >= 0) counts[num] += counts_b[j++];
        num++;
    }
    return num;
}

/* Where `word` stands among the sorted words [low, high), -1 where it does not. */
static inline int32_t find(const int32_t *words, int32_t low, int32_t high, int32_t word) {
    int32_t end = high;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (words[middle] < word) low = middle + 1;
        else high = middle;
    }
    return low < end && words[low] == word ? low : -1;
}

void find_children(const int32_t *first, const int32_t *child_words, const int32_t *parents,
                   const int32_t *words, int64_t num, int32_t *out) {
    for (int64_t i = 0; i < num; i++) {
        int32_t parent = parents[i];
        out[i] = parent < 0 ? -1 : find(child_words, first[parent], first[parent + 1], words[i]);
    }
}

/* ln p of each of `tokens` after those before it back to the last `start`; 0 for `start` itself.
   The arrays of pointers have one entry an order; first[order - 1] is not looked at. */
void score_tokens(const int32_t *tokens, int64_t num, int32_t order, int32_t start,
                  const int32_t *const *words, const int32_t *const *first,
                  const float *const *log_p, const float *const *backoff, double *out) {
    int32_t context[17], next[17]; /* [k]: the k-gram that ends at the token before, or at this */
    int known = 0;                 /* contexts of 1 ... known tokens are in the table */
    for (int64_t t = 0; t < num; t++) {
        int32_t token = tokens[t];
        if (token == start) {
            out[t] = 0;
            context[1] = token;
            known = order > 1;
            continue;
        }
        int found = 1;
        next[1] = token;
        while (found <= known) {
            int32_t parent = context[found];
            const int32_t *ends = first[found - 1];
            int32_t child = find(words[found], ends[parent], ends[parent + 1], token);
            if (child < 0) break;
            next[++found] = child;
        }
        double sum = log_p[found - 1][next[found]];
        for (int k = found; k <= known; k++) sum += backoff[k - 1][context[k]];
        out[t] = sum;
        known = found < order ? found : order - 1;
        for (int k = 1; k <= known; k++) context[k] = next[k];
    }
}
