/* Multiply-adds of bytes a second that one core can do: independent products of registers, the best of
   200 short rounds. Prints the instruction set and 10^9 multiply-adds a second.

       cc -O2 int8_peak.c -o int8_peak && ./int8_peak */
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

enum { SUMS = 12, STEPS = 400000, ROUNDS = 200 };

/* The empty asm makes each product new to the compiler, which would else multiply once. */
__attribute__((target("avx512f,avx512vnni"))) static int avx512_vnni(void) {
    __m512i sums[SUMS] = {0}, x = _mm512_set1_epi8(3), y = x;
    for (int step = 0; step < STEPS; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
            __asm__ volatile("" : "+v"(x), "+v"(y));
        }
    }
    for (int i = 1; i < SUMS; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    return _mm512_reduce_add_epi32(sums[0]);
}

__attribute__((target("avx2"))) static int avx2(void) {
    __m256i sums[SUMS] = {0}, x = _mm256_set1_epi8(3), y = x, ones = _mm256_set1_epi16(1);
    for (int step = 0; step < STEPS; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            __m256i pairs = _mm256_maddubs_epi16(x, y);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
            __asm__ volatile("" : "+x"(x), "+x"(y));
        }
    }
    for (int i = 1; i < SUMS; i++) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    return _mm256_extract_epi32(sums[0], 0);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(void) {
    int has_vnni = __builtin_cpu_supports("avx512vnni");
    if (!has_vnni && !__builtin_cpu_supports("avx2")) return 1;
    double best = 0, bytes = has_vnni ? 64 : 32;
    volatile int sink;
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        sink = has_vnni ? avx512_vnni() : avx2();
        double rate = bytes * SUMS * STEPS / (seconds() - start) / 1e9;
        if (rate > best) best = rate;
    }
    (void)sink;
    printf("%s %.1f\n", has_vnni ? "avx512_vnni" : "avx2", best);
    return 0;
}
