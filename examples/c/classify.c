/* Classifies a photograph: classify MODEL.s8 PHOTO.ppm [LABELS.txt]

   The photograph is a binary PPM (convert photo.jpg photo.ppm). Its middle square is brought to the
   model's size and prepared as for ImageNet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sub8.h>

static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};

static void fail(const char* what, const char* why) {
    fprintf(stderr, "classify: %s: %s\n", what, why);
    exit(2);
}

static void* allocate(size_t bytes) {
    void* memory = malloc(bytes);
    if (memory == NULL) fail("memory", "too little");
    return memory;
}

/* RGB, row by row. */
static unsigned char* read_ppm(const char* path, int* width, int* height) {
    int most = 0;
    FILE* file = fopen(path, "rb");
    if (file == NULL) fail(path, "cannot be read");
    if (fscanf(file, "P6 %d %d %d", width, height, &most) != 3 || most != 255 || *width < 1 ||
        *height < 1 || *width > 20000 || *height > 20000 || fgetc(file) == EOF)
        fail(path, "not a binary PPM of 8 bits");
    const size_t bytes = (size_t)*width * (size_t)*height * 3;
    unsigned char* pixels = allocate(bytes);
    if (fread(pixels, 1, bytes, file) != bytes) fail(path, "truncated");
    fclose(file);
    return pixels;
}

/* The middle square as float32 [1, 3, size, size]: the mean of the pixels that each covers. */
static void prepare(const unsigned char* pixels, int width, int height, int size, float* image) {
    const int square = width < height ? width : height;
    const int left = (width - square) / 2, top = (height - square) / 2;
    for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; ++x) {
            const int y0 = top + (int)((long)y * square / size);
            const int x0 = left + (int)((long)x * square / size);
            int y1 = top + (int)((long)(y + 1) * square / size);
            int x1 = left + (int)((long)(x + 1) * square / size);
            if (y1 == y0) ++y1;
            if (x1 == x0) ++x1;
            for (int c = 0; c < 3; ++c) {
                float sum = 0;
                for (int v = y0; v < y1; ++v)
                    for (int u = x0; u < x1; ++u) sum += pixels[((size_t)v * width + u) * 3 + c];
                const float value = sum / (float)((y1 - y0) * (x1 - x0)) / 255.0f;
                image[((size_t)c * size + y) * size + x] = (value - mean[c]) / deviation[c];
            }
        }
    }
}

static void print_label(FILE* labels, int number) {
    char line[256] = "";
    if (labels != NULL) {
        rewind(labels);
        for (int i = 0; i <= number; ++i)
            if (fgets(line, sizeof line, labels) == NULL) line[0] = '\0';
        line[strcspn(line, "\r\n")] = '\0';
    }
    printf("%d %s", number, line);
}

int main(int count, char** arguments) {
    if (count < 3) fail("use", "classify MODEL.s8 PHOTO.ppm [LABELS.txt]");
    sub8_model* model = sub8_open(arguments[1]);
    if (model == NULL) fail("model", sub8_last_error());
    sub8_tensor input;
    if (sub8_input_count(model) != 1 || sub8_output_count(model) != 1 ||
        sub8_input(model, 0, &input) != SUB8_OK || input.type != SUB8_FLOAT32 || input.rank != 4 ||
        input.sizes[1] != 3 || input.sizes[2] < 1 || input.sizes[2] != input.sizes[3])
        fail(arguments[1], "takes no square photograph");

    int width, height;
    const int size = (int)input.sizes[2];
    unsigned char* pixels = read_ppm(arguments[2], &width, &height);
    sub8_array image = {.rank = 4, .sizes = {1, 3, size, size}};
    image.bytes = sizeof(float) * 3 * (size_t)size * (size_t)size;
    image.data = allocate(image.bytes);
    prepare(pixels, width, height, size, image.data);
    free(pixels);

    sub8_session* session = sub8_session_create(model, 0, NULL);
    if (session == NULL) fail("session", sub8_last_error());
    sub8_array scores = {0};
    if (sub8_output_sizes(session, &image, 1, &scores, 1) != SUB8_OK)
        fail("sizes", sub8_last_error());
    scores.data = allocate(scores.bytes);
    if (sub8_run(session, &image, 1, &scores, 1) != SUB8_OK) fail("run", sub8_last_error());

    FILE* labels = count > 3 ? fopen(arguments[3], "r") : NULL;
    float* score = scores.data;
    const int classes = (int)(scores.bytes / sizeof(float));
    for (int place = 0; place < 5 && place < classes; ++place) {
        int best = 0;
        for (int i = 1; i < classes; ++i)
            if (score[i] > score[best]) best = i;
        print_label(labels, best);
        printf(" %.9g\n", score[best]);
        score[best] = -1e30f;
    }
    if (labels != NULL) fclose(labels);
    free(scores.data);
    free(image.data);
    sub8_session_free(session);
    sub8_close(model);
    return 0;
}
