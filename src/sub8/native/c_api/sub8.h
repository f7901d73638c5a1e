/* The runtime of sub8: compiled models (the file .s8, as `sub8 compile` writes it) run in integers.

   sub8_model* model = sub8_open("model.s8");
   sub8_session* session = sub8_session_create(model, 0, NULL);
   sub8_array x = {.data = pixels, .bytes = sizeof pixels, .rank = 4, .sizes = {1, 3, 224, 224}};
   sub8_array y = {.data = scores, .bytes = sizeof scores};
   if (sub8_run(session, &x, 1, &y, 1) != SUB8_OK) puts(sub8_last_error());

   All functions may be called from many threads at once, also with the same model or session. What
   gives a pointer gives NULL where it fails, what gives a status anything but SUB8_OK;
   sub8_last_error then says why, in one line. */
#ifndef SUB8_H
#define SUB8_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define SUB8_API
#else
#define SUB8_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sub8_model sub8_model;
typedef struct sub8_session sub8_session;

typedef enum {
    SUB8_OK = 0,
    SUB8_BAD_ARGUMENT = 1,
    SUB8_OUT_OF_MEMORY = 2,
    SUB8_FAILED = 3
} sub8_status;
typedef enum { SUB8_FLOAT32 = 0, SUB8_UINT8 = 1, SUB8_INT8 = 2 } sub8_type;

enum { SUB8_MOST_AXES = 8, SUB8_ANY = -1 };

/* "0.1.0". */
SUB8_API const char* sub8_version(void);
/* Of the last call of this thread that failed; valid until its next one. Never NULL. */
SUB8_API const char* sub8_last_error(void);

/* The file is mapped while the model is open: replace it, do not write over it. */
SUB8_API sub8_model* sub8_open(const char* path);
/* A file's bytes, which are copied. */
SUB8_API sub8_model* sub8_open_memory(const void* data, size_t bytes);
/* Sessions of the model go on. NULL is nothing. */
SUB8_API void sub8_close(sub8_model* model);

/* name: valid while the model is open. rank: number of axes, SUB8_ANY where it may differ from run
   to run. sizes: SUB8_ANY for one that may differ, such as the number of images. */
typedef struct {
    const char* name;
    sub8_type type;
    int rank;
    int64_t sizes[SUB8_MOST_AXES];
} sub8_tensor;

SUB8_API size_t sub8_input_count(const sub8_model* model);
SUB8_API size_t sub8_output_count(const sub8_model* model);
SUB8_API sub8_status sub8_input(const sub8_model* model, size_t index, sub8_tensor* tensor);
SUB8_API sub8_status sub8_output(const sub8_model* model, size_t index, sub8_tensor* tensor);

/* threads: of one run, 0 for one a processor. isa: the instruction set, NULL for the fastest that
   the processor has (or what the environment variable SUB8_ISA names). */
SUB8_API sub8_session* sub8_session_create(const sub8_model* model, int threads, const char* isa);
/* Not while it runs. NULL is nothing. */
SUB8_API void sub8_session_free(sub8_session* session);

/* An array, row-major, of the tensor's type, aligned to its elements. bytes: of `data`. */
typedef struct {
    void* data;
    size_t bytes;
    int rank;
    int64_t sizes[SUB8_MOST_AXES];
} sub8_array;

/* Sets rank, sizes and bytes of the outputs for inputs of these ranks and sizes; no data is looked
   at. */
SUB8_API sub8_status sub8_output_sizes(const sub8_session* session, const sub8_array* inputs,
                                       size_t input_count, sub8_array* outputs,
                                       size_t output_count);
/* Reads the inputs, which must have exactly their bytes, and writes the outputs, which must have at
   least theirs; sets the outputs' rank and sizes. Inputs and outputs are in the model's order. */
SUB8_API sub8_status sub8_run(const sub8_session* session, const sub8_array* inputs,
                              size_t input_count, sub8_array* outputs, size_t output_count);

#ifdef __cplusplus
}
#endif

#endif
