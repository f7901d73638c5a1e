// A plugin of qemu-user that counts the guest's instructions, by function:
//
//     cc -O2 -shared -fPIC count.c -o count.so
//     qemu-aarch64 -plugin ./count.so,out=counts.txt PROGRAM ...
//
// counts.txt: a line for each function, its instructions and its symbol (mangled; "?" where there
// is none). Debian ships no qemu-plugin.h, so what is used of it is declared here, as of version 1.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
                                                  void (*)(qemu_plugin_id_t,
                                                           struct qemu_plugin_tb*));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
extern const char* qemu_plugin_insn_symbol(const struct qemu_plugin_insn*);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, enum qemu_plugin_op,
                                                     void*, uint64_t);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*),
                                           void*);

#define EXPORT __attribute__((visibility("default")))
EXPORT extern int qemu_plugin_version;
int qemu_plugin_version = 1;

// Counters never move: translated code adds to them.
struct function {
    char* symbol;
    uint64_t instructions;
    struct function* next;
};
static struct function* functions[4096];
static const char* out = "counts.txt";

static uint64_t* counter_of(const char* symbol) {
    if (symbol == NULL || *symbol == '\0') symbol = "?";
    uint32_t hash = 2166136261U;
    for (const char* c = symbol; *c != '\0'; ++c) hash = (hash ^ (uint8_t)*c) * 16777619U;
    struct function** place = &functions[hash % 4096];
    while (*place != NULL && strcmp((*place)->symbol, symbol) != 0) place = &(*place)->next;
    if (*place == NULL) {
        *place = calloc(1, sizeof **place);
        if (*place == NULL || ((*place)->symbol = strdup(symbol)) == NULL) abort();
    }
    return &(*place)->instructions;
}

// A block of instructions with one entry; those of one function are counted together.
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    const char* symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0));
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, counter_of(symbol),
                                             qemu_plugin_tb_n_insns(block));
}

static void ended(qemu_plugin_id_t id, void* data) {
    (void)id, (void)data;
    FILE* file = fopen(out, "w");
    if (file == NULL) abort();
    for (size_t i = 0; i < 4096; ++i) {
        for (struct function* f = functions[i]; f != NULL; f = f->next)
            fprintf(file, "%" PRIu64 " %s\n", f->instructions, f->symbol);
    }
    fclose(file);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int count,
                               char** arguments) {
    (void)info;
    for (int i = 0; i < count; ++i) {
        if (strncmp(arguments[i], "out=", 4) == 0) out = strdup(arguments[i] + 4);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
