// The inner loops of a linear-chain CRF: objective with gradient, Viterbi paths, marginals.
//
// Letters: N positions of all sequences, T tags, F features, P pairs of feature and tag that have
// a weight. Probabilities are scaled at each position; lattice.py has the same in logarithms.

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t num_sequences, num_tags;
    const int64_t *sequence_start;  // num_sequences + 1, into positions
    const int64_t *position_start;  // N + 1, into features
    const int32_t *features;
    const int64_t *pair_start;  // F + 1, into pairs
    const int32_t *pair_tag;    // P
    const double *weights;      // P, then T * T from-to, T at the begin, T at the end
    int64_t num_pairs;
} Crf;

// scores[T] of the position at
static void add_scores(const Crf *crf, int64_t at, double *restrict scores) {
    const int64_t T = crf->num_tags;
    memset(scores, 0, sizeof(double) * T);
    for (int64_t k = crf->position_start[at]; k < crf->position_start[at + 1]; k++) {
        const int64_t from = crf->pair_start[crf->features[k]];
        const int64_t to = crf->pair_start[crf->features[k] + 1];
        const double *restrict w = crf->weights + from;
        if (to - from == T) {
            for (int64_t j = 0; j < T; j++) scores[j] += w[j];
        } else {
            for (int64_t p = 0; p < to - from; p++) scores[crf->pair_tag[from + p]] += w[p];
        }
    }
}

static int64_t longest(const Crf *crf) {
    int64_t best = 1;
    for (int64_t s = 0; s < crf->num_sequences; s++) {
        const int64_t length = crf->sequence_start[s + 1] - crf->sequence_start[s];
        if (length > best) best = length;
    }
    return best;
}

static double scale(double *restrict x, int64_t T) {
    double sum = 0;
    for (int64_t j = 0; j < T; j++) sum += x[j];
    if (!(sum > 1e-300)) sum = 1e-300;
    for (int64_t j = 0; j < T; j++) x[j] /= sum;
    return sum;
}

// Negative log-likelihood of gold, without penalty. Fills gradient (as long as weights) where it
// is not NULL, and marginals (N, T) where they are not. NAN where memory is short.
double crf_objective(const Crf *crf, const int32_t *gold, double *gradient, double *marginals) {
    const int64_t T = crf->num_tags, L = longest(crf);
    const double *trans = crf->weights + crf->num_pairs;
    const double *begin = trans + T * T, *end = begin + T;
    double *work = malloc(sizeof(double) * (T * T * 3 + L * T * 3 + T * 3));
    if (!work) return NAN;
    double *forth = work, *back = forth + T * T, *expected = back + T * T;
    double *psi = expected + T * T, *alpha = psi + L * T, *score = alpha + L * T;
    double *beta = score + L * T, *v = beta + T, *p = v + T;
    double top = trans[0], loss = 0;
    for (int64_t k = 1; k < T * T; k++) top = trans[k] > top ? trans[k] : top;
    for (int64_t i = 0; i < T; i++)
        for (int64_t j = 0; j < T; j++)
            forth[i * T + j] = back[j * T + i] = exp(trans[i * T + j] - top);
    memset(expected, 0, sizeof(double) * T * T);
    for (int64_t s = 0; s < crf->num_sequences; s++) {
        const int64_t start = crf->sequence_start[s];
        const int64_t length = crf->sequence_start[s + 1] - start;
        if (!length) continue;
        double log_z = 0;
        for (int64_t t = 0; t < length; t++) {
            double *restrict e = score + t * T, *restrict a = alpha + t * T;
            add_scores(crf, start + t, e);
            if (t == 0) for (int64_t j = 0; j < T; j++) e[j] += begin[j];
            if (t == length - 1) for (int64_t j = 0; j < T; j++) e[j] += end[j];
            double most = e[0];
            for (int64_t j = 1; j < T; j++) most = e[j] > most ? e[j] : most;
            double *restrict q = psi + t * T;
            for (int64_t j = 0; j < T; j++) q[j] = exp(e[j] - most);
            if (t == 0) {
                memcpy(a, q, sizeof(double) * T);
            } else {
                memset(a, 0, sizeof(double) * T);
                for (int64_t i = 0; i < T; i++) {
                    const double from = alpha[(t - 1) * T + i];
                    const double *restrict row = forth + i * T;
                    for (int64_t j = 0; j < T; j++) a[j] += from * row[j];
                }
                for (int64_t j = 0; j < T; j++) a[j] *= q[j];
                log_z += top;
            }
            log_z += most + log(scale(a, T));
        }
        if (gold) {
            loss += log_z;
            for (int64_t t = 0; t < length; t++) {
                const int64_t tag = gold[start + t];
                loss -= score[t * T + tag];
                if (t) loss -= trans[gold[start + t - 1] * T + tag];
            }
        }
        if (!gradient && !marginals) continue;
        for (int64_t j = 0; j < T; j++) beta[j] = 1;
        for (int64_t t = length - 1; t >= 0; t--) {
            const double *restrict a = alpha + t * T;
            for (int64_t j = 0; j < T; j++) p[j] = a[j] * beta[j];
            scale(p, T);
            if (marginals) memcpy(marginals + (start + t) * T, p, sizeof(double) * T);
            if (gradient) {
                double *g_begin = gradient + crf->num_pairs + T * T, *g_end = g_begin + T;
                p[gold[start + t]] -= 1;
                if (t == 0) for (int64_t j = 0; j < T; j++) g_begin[j] += p[j];
                if (t == length - 1) for (int64_t j = 0; j < T; j++) g_end[j] += p[j];
                for (int64_t k = crf->position_start[start + t];
                     k < crf->position_start[start + t + 1]; k++) {
                    const int64_t from = crf->pair_start[crf->features[k]];
                    const int64_t to = crf->pair_start[crf->features[k] + 1];
                    double *restrict g = gradient + from;
                    if (to - from == T) {
                        for (int64_t j = 0; j < T; j++) g[j] += p[j];
                    } else {
                        for (int64_t q = 0; q < to - from; q++) g[q] += p[crf->pair_tag[from + q]];
                    }
                }
            }
            if (t == 0) break;
            const double *restrict q = psi + t * T;
            const double *restrict before = alpha + (t - 1) * T;
            for (int64_t j = 0; j < T; j++) v[j] = q[j] * beta[j];
            memset(beta, 0, sizeof(double) * T);
            for (int64_t j = 0; j < T; j++) {
                const double *restrict row = back + j * T;
                for (int64_t i = 0; i < T; i++) beta[i] += row[i] * v[j];
            }
            double sum = 0;  // of before * beta: the pairs of tags sum to one
            for (int64_t i = 0; i < T; i++) sum += before[i] * beta[i];
            if (!(sum > 1e-300)) sum = 1e-300;
            for (int64_t i = 0; i < T; i++) beta[i] /= sum;
            if (gradient) {
                for (int64_t i = 0; i < T; i++) {
                    const double from = before[i] / sum;
                    double *restrict row = expected + i * T;
                    for (int64_t j = 0; j < T; j++) row[j] += from * v[j];
                }
                gradient[crf->num_pairs + gold[start + t - 1] * T + gold[start + t]] -= 1;
            }
        }
    }
    if (gradient)
        for (int64_t k = 0; k < T * T; k++) gradient[crf->num_pairs + k] += expected[k] * forth[k];
    free(work);
    return loss;
}

// The best path of each sequence; ties go to the lower tag. Returns 0, or 1 where memory is short.
int crf_viterbi(const Crf *crf, int32_t *path) {
    const int64_t T = crf->num_tags, L = longest(crf);
    const double *trans = crf->weights + crf->num_pairs;
    const double *begin = trans + T * T, *end = begin + T;
    double *work = malloc(sizeof(double) * T * 3);
    int32_t *from = malloc(sizeof(int32_t) * L * T);
    if (!work || !from) {
        free(work);
        free(from);
        return 1;
    }
    double *best = work, *next = best + T, *e = next + T;
    for (int64_t s = 0; s < crf->num_sequences; s++) {
        const int64_t start = crf->sequence_start[s];
        const int64_t length = crf->sequence_start[s + 1] - start;
        if (!length) continue;
        add_scores(crf, start, best);
        for (int64_t j = 0; j < T; j++) best[j] += begin[j];
        for (int64_t t = 1; t < length; t++) {
            add_scores(crf, start + t, e);
            int32_t *restrict where = from + t * T;
            for (int64_t j = 0; j < T; j++) {
                next[j] = best[0] + trans[j];
                where[j] = 0;
            }
            for (int64_t i = 1; i < T; i++)
                for (int64_t j = 0; j < T; j++) {
                    const double found = best[i] + trans[i * T + j];
                    where[j] = found > next[j] ? (int32_t)i : where[j];
                    next[j] = found > next[j] ? found : next[j];
                }
            for (int64_t j = 0; j < T; j++) best[j] = next[j] + e[j];
        }
        int32_t last = 0;
        for (int64_t j = 0; j < T; j++) {
            best[j] += end[j];
            if (best[j] > best[last]) last = (int32_t)j;
        }
        for (int64_t t = length - 1; t >= 0; t--) {
            path[start + t] = last;
            if (t) last = from[t * T + last];
        }
    }
    free(work);
    free(from);
    return 0;
}
