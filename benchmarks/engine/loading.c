// Loads a compiled model and runs it once: loading MODEL.s8 THREADS SIZE...
// Prints seconds of both together, of the processors and by the clock: what a process spends from
// sub8_open on.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sub8.h>

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int fail(void) {
    fprintf(stderr, "%s\n", sub8_last_error());
    return 1;
}

int main(int count, char** arguments) {
    if (count < 4) return 2;
    sub8_array input = {.bytes = sizeof(float)}, output = {0};
    for (int i = 3; i < count && input.rank < SUB8_MOST_AXES; ++i) {
        input.sizes[input.rank++] = atoll(arguments[i]);
        input.bytes *= (size_t)atoll(arguments[i]);
    }
    float* pixels = malloc(input.bytes);
    if (pixels == NULL) return 2;
    for (size_t i = 0; i < input.bytes / sizeof(float); ++i) pixels[i] = (float)(i % 255) / 64 - 2;
    input.data = pixels;
    const double clock = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    sub8_model* model = sub8_open(arguments[1]);
    if (model == NULL) return fail();
    sub8_session* session = sub8_session_create(model, atoi(arguments[2]), NULL);
    if (session == NULL) return fail();
    if (sub8_output_sizes(session, &input, 1, &output, 1) != SUB8_OK) return fail();
    output.data = malloc(output.bytes);
    if (sub8_run(session, &input, 1, &output, 1) != SUB8_OK) return fail();
    printf("{\"cpu_s\": %.6f, \"clock_s\": %.6f}\n", seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
           seconds(CLOCK_MONOTONIC) - clock);
    sub8_session_free(session);
    sub8_close(model);
    free(output.data);
    free(pixels);
    return 0;
}
