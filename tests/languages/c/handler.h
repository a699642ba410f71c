/* The border of a tool in C: `bailiwick:tool/handler@0.1.0` by the canonical ABI, for one tool that answers with text. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define HANDLER "bailiwick:tool/handler@0.1.0#"

typedef struct { const char *at; size_t len; } text_t;
typedef struct { uint8_t is_some; text_t value; } option_text_t;
typedef struct { const void *at; size_t len; } list_t;

typedef struct {
    text_t name;
    option_text_t title;
    text_t description;
    text_t input_schema;
    option_text_t output_schema;
    list_t capabilities;
} definition_t;

/* `variant content`: the case `text` alone, and as much room as the largest case takes. */
typedef struct {
    _Alignas(8) uint8_t which;
    _Alignas(8) text_t text;
    uint8_t rest[64];
} content_t;
_Static_assert(sizeof(content_t) == 80, "a block of a reply has 80 bytes");
_Static_assert(sizeof(definition_t) == 56, "a definition has 56 bytes");

/* `result<reply, error>`. */
typedef struct {
    uint8_t is_error;
    union {
        struct { list_t content; option_text_t structured; } reply;
        struct { uint8_t which; text_t text; } error;
    };
} answer_t;
_Static_assert(sizeof(answer_t) == 24, "an answer has 24 bytes");

static inline text_t text(const char *at) { return (text_t){at, strlen(at)}; }

/* What a tool defines. `run` answers with a text that lives as long as the call. */
extern const char NAME[], DESCRIPTION[], SCHEMA[];
extern const char *const KINDS[];
extern const size_t KINDS_LEN;
const char *run(const char *arguments, size_t len);

EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t old_len, size_t align, size_t len) {
    (void)old_len;
    (void)align; /* malloc aligns to 16 */
    if (len == 0) return (void *)align;
    void *at = realloc(old, len);
    if (at == NULL) abort();
    return at;
}

EXPORT(HANDLER "describe")
list_t *describe(void) {
    static text_t kinds[8];
    static definition_t one;
    static list_t all;
    for (size_t n = 0; n < KINDS_LEN; n++) kinds[n] = text(KINDS[n]);
    one = (definition_t){
        .name = text(NAME), .description = text(DESCRIPTION), .input_schema = text(SCHEMA),
        .capabilities = {kinds, KINDS_LEN},
    };
    all = (list_t){&one, 1};
    return &all;
}

EXPORT(HANDLER "call")
answer_t *call(char *name, size_t name_len, char *arguments, size_t len) {
    static content_t block;
    static answer_t answer;
    if (name_len != strlen(NAME) || memcmp(name, NAME, name_len) != 0) {
        answer.is_error = true;
        answer.error.which = 2; /* failed */
        answer.error.text = text("there is no such tool");
        return &answer;
    }
    block.text = text(run(arguments, len)); /* 0: text */
    answer.reply.content = (list_t){&block, 1};
    return &answer;
}
