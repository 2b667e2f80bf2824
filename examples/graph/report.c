/* Third stage: reads the images that were put aside with the trained network, and reports where it errs: report.md
   and a confusion matrix as SVG. Build: build.sh beside this file. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PIXELS 64
#define CLASSES 10
#define RECORD (PIXELS + 1) /* 64 values from 0 to 16, then the digit */
#define HIDDEN_MAX 256
#define WEIGHTS_MAX ((PIXELS + 1) * HIDDEN_MAX + (HIDDEN_MAX + 1) * CLASSES)
#define CELL 44
#define LEFT 84
#define TOP 96

static float weights[WEIGHTS_MAX];
static int hidden;
static int seen[CLASSES][CLASSES]; /* [digit][as what it was read] */

static int fail(const char *what) {
  fprintf(stderr, "report: %s: %s\n", what, strerror(errno));
  return 1;
}

/* Reads the weights; how many neurons the hidden layer has follows from their number. */
static int read_model(void) {
  FILE *file = fopen("/model/model.bin", "rb");
  if (!file) return -1;
  size_t length = fread(weights, sizeof *weights, WEIGHTS_MAX, file);
  fclose(file);
  errno = EINVAL;
  if (length <= CLASSES || (length - CLASSES) % (PIXELS + 1 + CLASSES)) return -1;
  hidden = (length - CLASSES) / (PIXELS + 1 + CLASSES);
  return 0;
}

/* Returns which digit the network sees. */
static int read_digit(const uint8_t *record) {
  float layer[HIDDEN_MAX], top = 0;
  const float *w = weights;
  int best = 0;
  for (int h = 0; h < hidden; h++, w += PIXELS + 1) {
    float sum = w[PIXELS];
    for (int p = 0; p < PIXELS; p++) sum += w[p] * (record[p] / 16.0f);
    layer[h] = sum > 0 ? sum : 0;
  }
  for (int c = 0; c < CLASSES; c++, w += hidden + 1) {
    float sum = w[hidden];
    for (int h = 0; h < hidden; h++) sum += w[h] * layer[h];
    if (!c || sum > top) top = sum, best = c;
  }
  return best;
}

static int all_of(int digit) {
  int all = 0;
  for (int c = 0; c < CLASSES; c++) all += seen[digit][c];
  return all;
}

static int read_as(int digit) {
  int all = 0;
  for (int c = 0; c < CLASSES; c++) all += seen[c][digit];
  return all;
}

static double percent(int part, int all) { return all ? 100.0 * part / all : 0; }

static int write_report(int right, int all) {
  FILE *file = fopen("/report/report.md", "w");
  if (!file) return -1;
  fprintf(file, "# How well the digits are read\n\n%d of %d images that the training had not seen: %.2f %%. "
                "Hidden neurons: %d.\n\n| digit |",
          right, all, percent(right, all), hidden);
  for (int c = 0; c < CLASSES; c++) fprintf(file, " as %d |", c);
  fprintf(file, " found | right when said |\n|---|");
  for (int c = 0; c < CLASSES + 2; c++) fprintf(file, "---|");
  for (int d = 0; d < CLASSES; d++) {
    fprintf(file, "\n| **%d** |", d);
    for (int c = 0; c < CLASSES; c++) {
      if (seen[d][c]) fprintf(file, " %d |", seen[d][c]);
      else fprintf(file, " |");
    }
    fprintf(file, " %.1f %% | %.1f %% |", percent(seen[d][d], all_of(d)), percent(seen[d][d], read_as(d)));
  }
  fprintf(file, "\n");
  return fclose(file);
}

static void draw_cell(FILE *file, int digit, int as) {
  int x = LEFT + as * CELL, y = TOP + digit * CELL, number = seen[digit][as];
  double share = percent(number, all_of(digit)) / 100;
  /* What is right is blue, the more the darker; each error is red, however rare. */
  int red = 246, green = 246, blue = 246;
  if (number && digit == as) red -= (int)(200 * share), green -= (int)(130 * share), blue -= (int)(50 * share);
  else if (number) green = 170, blue = 150;
  fprintf(file, "<rect x='%d' y='%d' width='%d' height='%d' rx='4' fill='#%02x%02x%02x'/>\n", x + 1, y + 1, CELL - 2,
          CELL - 2, red, green, blue);
  if (number)
    fprintf(file, "<text x='%d' y='%d' text-anchor='middle' font-size='16' fill='%s'>%d</text>\n", x + CELL / 2,
            y + CELL / 2 + 6, share > 0.5 ? "#fff" : "#111", number);
}

static int write_matrix(int right, int all) {
  int width = LEFT + CLASSES * CELL + 24, height = TOP + CLASSES * CELL + 24;
  FILE *file = fopen("/report/confusion.svg", "w");
  if (!file) return -1;
  fprintf(file, "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d' "
                "font-family='sans-serif'>\n<rect width='100%%' height='100%%' fill='#fff'/>\n",
          width, height, width, height);
  fprintf(file, "<text x='24' y='34' font-size='19' fill='#111'>%d of %d digits read right: %.1f %%</text>\n", right,
          all, percent(right, all));
  fprintf(file, "<text x='%d' y='64' text-anchor='middle' font-size='15' fill='#444'>read as</text>\n",
          LEFT + CLASSES * CELL / 2);
  fprintf(file, "<text transform='translate(34 %d) rotate(-90)' text-anchor='middle' font-size='15' "
                "fill='#444'>digit</text>\n",
          TOP + CLASSES * CELL / 2);
  for (int d = 0; d < CLASSES; d++) {
    fprintf(file, "<text x='%d' y='%d' text-anchor='middle' font-size='15' fill='#444'>%d</text>\n",
            LEFT + d * CELL + CELL / 2, TOP - 10, d);
    fprintf(file, "<text x='%d' y='%d' text-anchor='end' font-size='15' fill='#444'>%d</text>\n", LEFT - 12,
            TOP + d * CELL + CELL / 2 + 5, d);
    for (int c = 0; c < CLASSES; c++) draw_cell(file, d, c);
  }
  fprintf(file, "</svg>\n");
  return fclose(file);
}

int main(void) {
  if (read_model()) return fail("/model/model.bin");
  FILE *file = fopen("/data/test.bin", "rb");
  if (!file) return fail("/data/test.bin");
  int right = 0, all = 0;
  for (uint8_t record[RECORD]; fread(record, 1, RECORD, file) == RECORD; all++) {
    errno = EINVAL;
    if (record[PIXELS] >= CLASSES) return fail("a record without a digit");
    int as = read_digit(record);
    seen[record[PIXELS]][as]++;
    right += as == record[PIXELS];
  }
  if (ferror(file) || fclose(file)) return fail("/data/test.bin");
  if (write_report(right, all) || write_matrix(right, all)) return fail("/report");
  printf("%d of %d digits read right: %.2f %%\n", right, all, percent(right, all));
  return 0;
}
