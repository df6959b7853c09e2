/* Threads that wait for tasks, for decode.c: they spin for a while after each one, then sleep.

   Only those a task wants are woken. In a child of fork there are no threads but the one that forked:
   the pool notices by its process id and starts new ones. */
#pragma once
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

typedef void (*Task)(void *argument, int thread, int num_threads);
struct Pool;
typedef struct {
    struct Pool *pool;
    int number;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Atomic unsigned turn; /* goes up with each task of this worker */
    char apart[64];        /* no two workers' turns in one line of the cache */
} Worker;
typedef struct Pool {
    pid_t owner;
    int asked, num_threads; /* the first is the caller's own */
    Worker *workers;
    _Atomic unsigned running, arrived, phase;
    _Atomic int closing;
    Task task;
    void *argument;
    int wanted;
} Pool;

#define SPINS 20000 /* of a worker without work: some tenths of a millisecond */
#define PATIENCE 2000 /* of threads that wait for each other, before they let others run */
static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void *work(void *own) {
    Worker *worker = own;
    Pool *pool = worker->pool;
    unsigned seen = 0;
    for (;;) {
        unsigned turn = seen;
        for (int i = 0; i < SPINS && turn == seen; i++) {
            turn = atomic_load_explicit(&worker->turn, memory_order_acquire);
            relax();
        }
        if (turn == seen) {
            pthread_mutex_lock(&worker->mutex);
            while ((turn = atomic_load(&worker->turn)) == seen) pthread_cond_wait(&worker->wake, &worker->mutex);
            pthread_mutex_unlock(&worker->mutex);
        }
        seen = turn;
        if (atomic_load(&pool->closing)) return NULL;
        pool->task(pool->argument, worker->number, pool->wanted);
        atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
    }
}
static void call_worker(Worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    atomic_fetch_add_explicit(&worker->turn, 1, memory_order_release);
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
}

static void start_workers(Pool *pool) {
    pool->owner = getpid();
    pool->num_threads = 1;
    atomic_store(&pool->running, 0), atomic_store(&pool->arrived, 0), atomic_store(&pool->phase, 0);
    pool->workers = calloc((size_t)pool->asked, sizeof(Worker));
    if (!pool->workers) return;
    for (int i = 1; i < pool->asked; i++) {
        Worker *worker = pool->workers + i;
        worker->pool = pool, worker->number = i;
        pthread_mutex_init(&worker->mutex, NULL);
        pthread_cond_init(&worker->wake, NULL);
        if (pthread_create(&worker->thread, NULL, work, worker) != 0) break;
        pool->num_threads = i + 1;
    }
}
Pool *open_pool(int num_threads) {
    Pool *pool = calloc(1, sizeof(Pool));
    if (!pool) return NULL;
    pool->asked = num_threads;
    start_workers(pool);
    return pool;
}
void close_pool(Pool *pool) {
    if (!pool) return;
    atomic_store(&pool->closing, 1);
    if (pool->owner == getpid()) /* a child of fork has nobody to wait for */
        for (int i = 1; i < pool->num_threads; i++) {
            call_worker(pool->workers + i);
            pthread_join(pool->workers[i].thread, NULL);
        }
    free(pool->workers);
    free(pool);
}
/* Threads that have begun to work for it, the caller's own included. */
int pool_workers(const Pool *pool) { return pool->num_threads; }

static void run_task(Pool *pool, Task task, void *argument, int num_threads) {
    /* What the parent's workers were doing is nobody's any more; their memory is left alone. */
    if (pool->owner != getpid()) start_workers(pool);
    num_threads = num_threads < pool->num_threads ? num_threads : pool->num_threads;
    pool->task = task, pool->argument = argument, pool->wanted = num_threads;
    atomic_store(&pool->running, (unsigned)num_threads - 1);
    for (int i = 1; i < num_threads; i++) call_worker(pool->workers + i);
    task(argument, 0, num_threads);
    for (int i = 0; atomic_load_explicit(&pool->running, memory_order_acquire) != 0; i++)
        i < PATIENCE ? relax() : (void)sched_yield();
}
/* All threads of a task wait for each other. */
static void barrier(Pool *pool, int num_threads) {
    if (num_threads == 1) return;
    const unsigned phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == (unsigned)num_threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
        return;
    }
    for (int i = 0; atomic_load_explicit(&pool->phase, memory_order_acquire) == phase; i++)
        i < PATIENCE ? relax() : (void)sched_yield();
}
