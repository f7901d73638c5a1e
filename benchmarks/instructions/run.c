// Runs a compiled model of one input and one output, of float32, so many times:
// run MODEL.s8 OUTPUT.raw RUNS SIZE...
#include <stdio.h>
#include <stdlib.h>

#include <sub8.h>

static int fail(void) {
    fprintf(stderr, "%s\n", sub8_last_error());
    return 1;
}

int main(int count, char** arguments) {
    if (count < 5) return 2;
    sub8_array input = {.bytes = sizeof(float)}, output = {0};
    for (int i = 4; i < count && input.rank < SUB8_MOST_AXES; ++i) {
        input.sizes[input.rank++] = atoll(arguments[i]);
        input.bytes *= (size_t)atoll(arguments[i]);
    }
    float* pixels = malloc(input.bytes);
    if (pixels == NULL) return 2;
    for (size_t i = 0; i < input.bytes / sizeof(float); ++i) pixels[i] = (float)(i % 255) / 64 - 2;
    input.data = pixels;
    sub8_model* model = sub8_open(arguments[1]);
    if (model == NULL) return fail();
    sub8_session* session = sub8_session_create(model, 1, NULL);
    if (session == NULL) return fail();
    if (sub8_output_sizes(session, &input, 1, &output, 1) != SUB8_OK) return fail();
    output.data = malloc(output.bytes);
    for (int runs = atoi(arguments[3]); runs > 0; --runs) {
        if (sub8_run(session, &input, 1, &output, 1) != SUB8_OK) return fail();
    }
    FILE* file = fopen(arguments[2], "wb");
    if (file == NULL || fwrite(output.data, 1, output.bytes, file) != output.bytes) return 2;
    fclose(file);
    sub8_session_free(session);
    sub8_close(model);
    free(output.data);
    free(pixels);
    return 0;
}
