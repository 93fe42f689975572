/* What one core's memory allows. Nanoseconds, the best of some rounds.

       cc -O2 memory.c -o memory && ./memory rows 16000000 128    a row of 128 bytes, any of 16 MB
       ./memory adds 262144                                       an addition to a word, any of 256 KB

   Where the next rows are is known, so that as many are on their way as the core can wait for. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MANY = 1 << 16, AHEAD = 24, ROUNDS = 60 };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* A word of each line, so that only fetching takes time. */
static uint64_t rows(const char *memory, const uint32_t *line) {
    uint64_t sum = 0;
    for (size_t i = 0; i < MANY; i++) {
        __builtin_prefetch(memory + 64 * (size_t)line[(i + AHEAD) % MANY]);
        sum += *(const uint64_t *)(memory + 64 * (size_t)line[i]);
    }
    return sum;
}

static void adds(uint32_t *words, const uint32_t *at) {
    for (size_t i = 0; i < MANY; i++) words[at[i]] += i;
}

int main(int argc, char **argv) {
    if (argc < 3) return 1;
    const int is_adding = !strcmp(argv[1], "adds");
    const size_t whole = strtoull(argv[2], 0, 10), bytes = is_adding ? 4 : strtoull(argv[3], 0, 10);
    const size_t n_lines = (bytes + 63) / 64, n = is_adding ? MANY : MANY / n_lines;
    char *memory = aligned_alloc(64, (whole + 63) / 64 * 64);
    uint32_t *at = calloc(MANY, sizeof *at);
    if (!memory || !at) return 1;
    memset(memory, 1, whole);
    double best = 1e9;
    volatile uint64_t sink = 0;
    uint64_t seed = 88172645463325252u;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            if (is_adding) at[i] = (uint32_t)(seed % (whole / 4));
            else
                for (size_t l = 0; l < n_lines; l++)
                    at[i * n_lines + l] = (uint32_t)(seed % (whole / 64 / n_lines) * n_lines + l);
        }
        const double start = seconds();
        if (is_adding) adds((uint32_t *)memory, at);
        else sink += rows(memory, at);
        const double span = (seconds() - start) / (double)n;
        if (span < best) best = span;
    }
    (void)sink;
    printf("%.3f\n", best * 1e9);
    return 0;
}
