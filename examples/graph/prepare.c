/* First stage: cleans the digits and cuts them in two, so that the report is about images that no training has seen.
   Each image is moved so that its ink is in the middle, and made as dark as the darkest. Of each digit every sixth
   image is put aside for the report. Build: build.sh beside this file. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SIDE 8
#define PIXELS (SIDE * SIDE)
#define CLASSES 10
#define RECORD (PIXELS + 1) /* 64 values from 0 to 16, then the digit */
#define INK_MAX 16
#define PUT_ASIDE 6

static int fail(const char *what) {
  fprintf(stderr, "prepare: %s: %s\n", what, strerror(errno));
  return 1;
}

/* Returns by how much an image must move along one axis so that its ink is in the middle. */
static int shift_of(const uint8_t *image, int is_down) {
  int ink = 0, moment = 0;
  for (int i = 0; i < PIXELS; i++) {
    ink += image[i];
    moment += image[i] * (is_down ? i / SIDE : i % SIDE);
  }
  /* The middle is 3.5: twice the distance, rounded to whole pixels. */
  int twice = ink ? 7 - 2 * moment / ink : 0;
  return twice / 2;
}

/* Centres one image and spreads its ink from 0 to 16; what would leave the frame stops the move. */
static void clean(const uint8_t *record, uint8_t *cleaned) {
  int right = shift_of(record, 0), down = shift_of(record, 1), darkest = 1;
  for (int i = 0; i < PIXELS; i++) {
    int x = i % SIDE + right, y = i / SIDE + down;
    if (record[i] > darkest) darkest = record[i];
    if (record[i] && (x < 0 || x >= SIDE)) right = 0, i = -1;
    else if (record[i] && (y < 0 || y >= SIDE)) down = 0, i = -1;
  }
  memset(cleaned, 0, RECORD);
  for (int i = 0; i < PIXELS; i++)
    if (record[i]) cleaned[(i / SIDE + down) * SIDE + i % SIDE + right] = record[i] * INK_MAX / darkest;
  cleaned[PIXELS] = record[PIXELS];
}

int main(void) {
  FILE *data = fopen("/data/digits.bin", "rb");
  if (!data) return fail("/data/digits.bin");
  FILE *train = fopen("/prepared/digits.bin", "wb"), *test = fopen("/prepared/test.bin", "wb");
  if (!train || !test) return fail("/prepared");
  int seen[CLASSES] = {0}, kept = 0, aside = 0;
  uint8_t record[RECORD], cleaned[RECORD];
  while (fread(record, 1, RECORD, data) == RECORD) {
    errno = EINVAL;
    if (record[PIXELS] >= CLASSES) return fail("a record without a digit");
    clean(record, cleaned);
    int is_aside = seen[cleaned[PIXELS]]++ % PUT_ASIDE == PUT_ASIDE - 1;
    if (fwrite(cleaned, 1, RECORD, is_aside ? test : train) != RECORD) return fail("/prepared");
    *(is_aside ? &aside : &kept) += 1;
  }
  if (ferror(data) || fclose(train) || fclose(test)) return fail("files");
  printf("%d images to train with, %d put aside\n", kept, aside);
  return 0;
}
