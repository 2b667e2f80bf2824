/* Puts the frames of all shards together as an animated GIF: /parts/shard-N/frames/frame-NNNN.ppm to
   /animation/animation.gif. One palette for all frames by median cut, a fine pattern against steps between colours,
   and of each frame only what differs from the one before. Format: GIF89a (CompuServe, 1990), with LZW as its
   appendix F has it. Build: build.sh beside this file. Argument: --delay-cs N (hundredths of a second a frame) */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FRAMES_MAX 1024
#define SHARDS_MAX 1024
#define COLOURS 255 /* of a palette of 256; the last one means: as before */
#define AS_BEFORE 255
#define CUBE 32768 /* colours of five bits a channel */
#define CODES_MAX 4096
#define SLOTS 16384 /* of the table of known strings, a power of two */

static uint8_t *frames[FRAMES_MAX];
static int count, width, height;
static uint32_t weight[CUBE];
static uint16_t order[CUBE];
static uint8_t nearest[CUBE], palette[256][3];
static FILE *out;

static int fail(const char *what) {
  fprintf(stderr, "assemble: %s: %s\n", what, strerror(errno));
  return 1;
}

/* --- reading ------------------------------------------------------------------------------------------------- */

/* Reads one frame; all must be of one size. Returns 1 if there is no such file, -1 if it is no frame. */
static int read_frame(const char *path, uint8_t **pixels) {
  int w, h, most;
  FILE *file = fopen(path, "rb");
  if (!file) return errno == ENOENT ? 1 : -1;
  errno = EINVAL;
  if (fscanf(file, "P6 %d %d %d", &w, &h, &most) != 3 || fgetc(file) != '\n' || most != 255) return -1;
  if (!width) width = w, height = h;
  if (w != width || h != height || w < 1 || h < 1 || w > 4096 || h > 4096) return -1;
  size_t size = (size_t)w * h * 3;
  *pixels = malloc(size);
  int failed = !*pixels || fread(*pixels, 1, size, file) != size;
  fclose(file);
  return failed ? -1 : 0;
}

/* Reads all frames in their order: frame n is with the shard n modulo their number. */
static int read_frames(void) {
  char path[96];
  struct stat found;
  int shards = 0;
  for (; shards < SHARDS_MAX; shards++) {
    snprintf(path, sizeof path, "/parts/shard-%d", shards);
    if (stat(path, &found)) break;
  }
  for (count = 0; count < FRAMES_MAX; count++) {
    if (shards) snprintf(path, sizeof path, "/parts/shard-%d/frames/frame-%04d.ppm", count % shards, count);
    else snprintf(path, sizeof path, "/parts/frames/frame-%04d.ppm", count);
    int outcome = read_frame(path, &frames[count]);
    if (outcome) return outcome > 0 && count ? 0 : -1;
  }
  return 0;
}

/* --- colours --------------------------------------------------------------------------------------------------- */

typedef struct {
  int start, end; /* of `order` */
  uint64_t pixels;
} Box;

static int channel_of(int cell, int channel) { return cell >> (10 - 5 * channel) & 31; }

static int cell_of(const uint8_t *pixel) { return (pixel[0] >> 3) << 10 | (pixel[1] >> 3) << 5 | pixel[2] >> 3; }

static int sorted_by; /* the channel */

static int compare(const void *a, const void *b) {
  int x = *(const uint16_t *)a, y = *(const uint16_t *)b;
  int difference = channel_of(x, sorted_by) - channel_of(y, sorted_by);
  return difference ? difference : x - y;
}

/* Returns how far a box stretches along its longest side, and which that is. */
static int stretch_of(const Box *box, int *channel) {
  int longest = 0;
  for (int c = 0; c < 3; c++) {
    int low = 31, high = 0;
    for (int i = box->start; i < box->end; i++) {
      int value = channel_of(order[i], c);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (high - low > longest) longest = high - low, *channel = c;
  }
  return longest;
}

/* Cuts a box so that both parts hold about as many pixels. */
static Box cut(Box *box, int channel) {
  uint64_t half = 0;
  int place = box->start;
  sorted_by = channel;
  qsort(order + box->start, box->end - box->start, sizeof *order, compare);
  while (place < box->end - 1 && (half == 0 || half + weight[order[place]] <= box->pixels / 2))
    half += weight[order[place++]];
  Box rest = {place, box->end, box->pixels - half};
  box->end = place, box->pixels = half;
  return rest;
}

/* Gives the mean colour of its pixels to a box. */
static void paint(const Box *box, uint8_t *colour) {
  for (int c = 0; c < 3; c++) {
    uint64_t sum = 0;
    for (int i = box->start; i < box->end; i++) sum += (uint64_t)weight[order[i]] * (channel_of(order[i], c) * 8 + 4);
    colour[c] = box->pixels ? (sum + box->pixels / 2) / box->pixels : 0;
  }
}

/* Makes a palette of the colours of all frames: of all boxes the one that is worst off is cut, again and again. */
static int make_palette(void) {
  static Box boxes[COLOURS];
  int length = 0, cells = 0;
  for (int f = 0; f < count; f++)
    for (int i = 0; i < width * height; i++) weight[cell_of(frames[f] + 3 * i)]++;
  for (int cell = 0; cell < CUBE; cell++)
    if (weight[cell]) order[cells++] = cell;
  boxes[length++] = (Box){0, cells, (uint64_t)count * width * height};
  while (length < COLOURS) {
    int worst = -1, along = 0;
    double most = 0;
    for (int i = 0; i < length; i++) {
      int channel = 0, stretch = stretch_of(&boxes[i], &channel);
      double trouble = (double)stretch * stretch * boxes[i].pixels;
      if (stretch && trouble > most) most = trouble, worst = i, along = channel;
    }
    if (worst < 0) break;
    boxes[length] = cut(&boxes[worst], along);
    length++;
  }
  for (int i = 0; i < length; i++) paint(&boxes[i], palette[i]);
  return length;
}

/* Finds the nearest colour of the palette for each cell. */
static void find_nearest(int colours) {
  for (int cell = 0; cell < CUBE; cell++) {
    int best = 0, least = 1 << 30;
    for (int i = 0; i < colours; i++) {
      int distance = 0;
      for (int c = 0; c < 3; c++) {
        int difference = channel_of(cell, c) * 8 + 4 - palette[i][c];
        distance += difference * difference * (c == 1 ? 4 : c == 0 ? 3 : 2);
      }
      if (distance < least) least = distance, best = i;
    }
    nearest[cell] = best;
  }
}

/* Puts a fixed pattern over a frame (Bayer's, 4 x 4) and takes the nearest colours. */
static void colour(const uint8_t *pixels, uint8_t *indices) {
  static const int pattern[16] = {0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5};
  for (int i = 0; i < width * height; i++) {
    uint8_t shifted[3];
    int by = pattern[(i / width & 3) * 4 + (i % width & 3)] / 2 - 4;
    for (int c = 0; c < 3; c++) {
      int value = pixels[3 * i + c] + by;
      shifted[c] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
    indices[i] = nearest[cell_of(shifted)];
  }
}

/* --- the file ---------------------------------------------------------------------------------------------------- */
static uint8_t block[255];
static int block_size, bit_count;
static uint32_t bits;

static void put_block(void) {
  if (!block_size) return;
  fputc(block_size, out);
  fwrite(block, 1, block_size, out);
  block_size = 0;
}

static void put_code(int code, int size) {
  bits |= (uint32_t)code << bit_count;
  for (bit_count += size; bit_count >= 8; bit_count -= 8, bits >>= 8) {
    block[block_size++] = bits & 255;
    if (block_size == 255) put_block();
  }
}

/* Packs one image: a string that was seen before becomes one code, and each time a longer one is learnt. */
static void put_lzw(const uint8_t *indices, int length) {
  static uint32_t known[SLOTS]; /* (string, next byte) + 1, or 0 */
  static uint16_t codes[SLOTS];
  const int clear = 256, end = 257;
  int size = 9, next = 258, string = indices[0];
  memset(known, 0, sizeof known);
  fputc(8, out);
  put_code(clear, size);
  for (int i = 1; i < length; i++) {
    uint32_t wanted = ((uint32_t)string << 8 | indices[i]) + 1, slot = wanted * 2654435761u >> 18;
    while (known[slot] && known[slot] != wanted) slot = (slot + 1) % SLOTS;
    if (known[slot]) {
      string = codes[slot];
      continue;
    }
    put_code(string, size);
    string = indices[i];
    if (next < CODES_MAX) {
      known[slot] = wanted, codes[slot] = next;
      if (next++ == 1 << size) size++;
    } else { /* all codes are used: begin anew */
      put_code(clear, size);
      memset(known, 0, sizeof known);
      size = 9, next = 258;
    }
  }
  put_code(string, size);
  if (next == 1 << size && size < 12) size++; /* the reader has learnt one more by then */
  put_code(end, size);
  if (bit_count) put_code(0, 8 - bit_count);
  put_block();
  fputc(0, out);
}

static void put_short(int value) {
  fputc(value & 255, out);
  fputc(value >> 8, out);
}

static void put_header(void) {
  fputs("GIF89a", out);
  put_short(width);
  put_short(height);
  fputc(0xf7, out); /* a palette of 256 colours */
  fputc(0, out);
  fputc(0, out);
  fwrite(palette, 1, sizeof palette, out);
  fwrite("\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", 1, 19, out); /* again and again */
}

/* Writes the part of a frame in which something differs from the one before; `part` is room for it. */
static void put_frame(const uint8_t *now, const uint8_t *before, uint8_t *part, int delay_cs) {
  int left = width, top = height, right = 0, bottom = 0, length = 0;
  for (int i = 0; i < width * height; i++) {
    if (before && now[i] == before[i]) continue;
    int x = i % width, y = i / width;
    if (x < left) left = x;
    if (x >= right) right = x + 1;
    if (y < top) top = y;
    if (y >= bottom) bottom = y + 1;
  }
  if (!right) left = top = 0, right = bottom = 1; /* nothing moved */
  for (int y = top; y < bottom; y++)
    for (int x = left; x < right; x++) {
      int i = y * width + x;
      part[length++] = before && now[i] == before[i] ? AS_BEFORE : now[i];
    }
  fwrite("\x21\xf9\x04\x05", 1, 4, out); /* leave what is there, one colour is transparent */
  put_short(delay_cs);
  fputc(AS_BEFORE, out);
  fputc(0, out);
  fputc(0x2c, out);
  put_short(left), put_short(top), put_short(right - left), put_short(bottom - top);
  fputc(0, out);
  put_lzw(part, length);
}

int main(int argc, char **argv) {
  int delay_cs = argc == 3 && !strcmp(argv[1], "--delay-cs") ? atoi(argv[2]) : argc == 1 ? 5 : 0;
  errno = EINVAL;
  if (delay_cs < 1 || delay_cs > 1000) return fail("arguments");
  if (read_frames()) return fail("/parts");
  uint8_t *now = malloc(width * height), *before = malloc(width * height), *part = malloc(width * height);
  if (!now || !before || !part) return fail("memory");
  find_nearest(make_palette());
  out = fopen("/animation/animation.gif", "wb");
  if (!out) return fail("/animation");
  put_header();
  for (int f = 0; f < count; f++) {
    uint8_t *kept = before;
    colour(frames[f], now);
    put_frame(now, f ? before : NULL, part, delay_cs);
    before = now, now = kept;
  }
  fputc(0x3b, out);
  long size = ftell(out);
  if (ferror(out) || fclose(out)) return fail("/animation/animation.gif");
  printf("%d frames of %d x %d pixels, %ld bytes\n", count, width, height, size);
  return 0;
}
