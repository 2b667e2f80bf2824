/* Puts the shards of a sweep together: a table, the best model with its settings, and a picture of how accuracy
   depends on them, drawn by hand as SVG. Build: build.sh beside this file. It reads /sweep/shard-N/results. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS_MAX 64
#define CELL_W 104
#define CELL_H 56
#define LEFT 130
#define TOP 96

typedef struct {
  int shard, hidden;
  double rate, loss, accuracy;
} Trial;

static Trial trials[TRIALS_MAX];
static int count;

static int fail(const char *what) {
  fprintf(stderr, "reduce: %s: %s\n", what, strerror(errno));
  return 1;
}

/* Finds a number by its name in a flat JSON object; returns 0 if it is there. */
static int find_number(const char *text, const char *name, double *value) {
  char quoted[32];
  snprintf(quoted, sizeof quoted, "\"%s\": ", name);
  const char *place = strstr(text, quoted);
  return place && sscanf(place + strlen(quoted), "%lf", value) == 1 ? 0 : -1;
}

/* Reads what one shard found out: 1 if it is there, 0 if there is no such shard, -1 if it makes no sense. */
static int read_trial(int shard, Trial *trial) {
  char path[64], text[512];
  double hidden;
  snprintf(path, sizeof path, "/sweep/shard-%d/results/metrics.json", shard);
  FILE *file = fopen(path, "rb");
  if (!file) return errno == ENOENT ? 0 : -1;
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = 0;
  trial->shard = shard;
  errno = EINVAL;
  if (find_number(text, "hidden", &hidden) || find_number(text, "rate", &trial->rate) ||
      find_number(text, "loss", &trial->loss) || find_number(text, "accuracy", &trial->accuracy))
    return -1;
  trial->hidden = (int)hidden;
  return 1;
}

/* The best first: by accuracy, then by loss, then the one that was asked for first. */
static int is_better(const void *a, const void *b) {
  const Trial *x = a, *y = b;
  if (x->accuracy != y->accuracy) return x->accuracy > y->accuracy ? -1 : 1;
  if (x->loss != y->loss) return x->loss < y->loss ? -1 : 1;
  return x->shard - y->shard;
}

static int write_table(void) {
  FILE *file = fopen("/results/table.md", "w");
  if (!file) return -1;
  fprintf(file, "| place | hidden | rate | loss | accuracy | shard |\n|---|---|---|---|---|---|\n");
  for (int i = 0; i < count; i++)
    fprintf(file, "| %d | %d | %.3f | %.4f | %.2f %% | %d |\n", i + 1, trials[i].hidden, trials[i].rate,
            trials[i].loss, 100 * trials[i].accuracy, trials[i].shard);
  return fclose(file);
}

/* Keeps the model of the best trial, and says how it was made. */
static int write_best(void) {
  static char block[65536]; /* the stack of a module is no larger */
  char path[64];
  snprintf(path, sizeof path, "/sweep/shard-%d/results/model.bin", trials[0].shard);
  FILE *from = fopen(path, "rb"), *to = fopen("/results/model.bin", "wb");
  if (!from || !to) return -1;
  for (size_t size; (size = fread(block, 1, sizeof block, from)) > 0;)
    if (fwrite(block, 1, size, to) != size) return -1;
  if (ferror(from) || fclose(from) || fclose(to)) return -1;
  FILE *file = fopen("/results/best.json", "w");
  if (!file) return -1;
  fprintf(file, "{\"accuracy\": %.6f, \"hidden\": %d, \"loss\": %.6f, \"rate\": %.3f, \"shard\": %d}\n",
          trials[0].accuracy, trials[0].hidden, trials[0].loss, trials[0].rate, trials[0].shard);
  return fclose(file);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* Collects the different values of one setting in ascending order. */
static int axis_of(int is_rate, double *values) {
  int length = 0;
  for (int i = 0; i < count; i++) {
    double value = is_rate ? trials[i].rate : trials[i].hidden;
    int place = 0;
    while (place < length && values[place] != value) place++;
    if (place == length) values[length++] = value;
  }
  qsort(values, length, sizeof *values, by_value);
  return length;
}

static int place_on(const double *axis, int length, double value) {
  for (int i = 0; i < length; i++)
    if (axis[i] == value) return i;
  return 0;
}

/* Mixes a colour between dark blue and yellow for a share from 0 to 1. */
static void colour_of(double share, int *red, int *green, int *blue) {
  static const int stops[5][3] = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
  double at = (share < 0 ? 0 : share > 1 ? 1 : share) * 4;
  int low = at >= 4 ? 3 : (int)at;
  double rest = at - low;
  *red = (int)(stops[low][0] + rest * (stops[low + 1][0] - stops[low][0]) + 0.5);
  *green = (int)(stops[low][1] + rest * (stops[low + 1][1] - stops[low][1]) + 0.5);
  *blue = (int)(stops[low][2] + rest * (stops[low + 1][2] - stops[low][2]) + 0.5);
}

static void draw_cell(FILE *file, const Trial *trial, int column, int row, double worst, int is_best) {
  int red, green, blue, x = LEFT + column * CELL_W, y = TOP + row * CELL_H;
  double best = trials[0].accuracy, share = best > worst ? (trial->accuracy - worst) / (best - worst) : 1;
  colour_of(share, &red, &green, &blue);
  fprintf(file, "<rect x='%d' y='%d' width='%d' height='%d' rx='6' fill='#%02x%02x%02x'%s/>\n", x + 2, y + 2,
          CELL_W - 4, CELL_H - 4, red, green, blue, is_best ? " stroke='#d62728' stroke-width='4'" : "");
  fprintf(file, "<text x='%d' y='%d' text-anchor='middle' font-size='17' fill='%s'>%.1f %%</text>\n", x + CELL_W / 2,
          y + CELL_H / 2 + 6, share > 0.6 ? "#111" : "#fff", 100 * trial->accuracy);
}

/* Draws accuracy over both settings. */
static int write_plot(void) {
  double hidden[TRIALS_MAX], rates[TRIALS_MAX], worst = trials[count - 1].accuracy;
  int rows = axis_of(0, hidden), columns = axis_of(1, rates);
  int width = LEFT + columns * CELL_W + 24, height = TOP + rows * CELL_H + 24;
  FILE *file = fopen("/results/plot.svg", "w");
  if (!file) return -1;
  fprintf(file, "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d' "
                "font-family='sans-serif'>\n<rect width='100%%' height='100%%' fill='#fff'/>\n",
          width, height, width, height);
  fprintf(file, "<text x='24' y='34' font-size='19' fill='#111'>Digits read right, %d trainings</text>\n", count);
  fprintf(file, "<text x='%d' y='64' text-anchor='middle' font-size='15' fill='#444'>learning rate</text>\n",
          LEFT + columns * CELL_W / 2);
  for (int i = 0; i < columns; i++)
    fprintf(file, "<text x='%d' y='%d' text-anchor='middle' font-size='15' fill='#444'>%g</text>\n",
            LEFT + i * CELL_W + CELL_W / 2, TOP - 10, rates[i]);
  for (int i = 0; i < rows; i++)
    fprintf(file, "<text x='%d' y='%d' text-anchor='end' font-size='15' fill='#444'>%g hidden</text>\n", LEFT - 12,
            TOP + i * CELL_H + CELL_H / 2 + 5, hidden[i]);
  for (int i = count - 1; i >= 0; i--)
    draw_cell(file, &trials[i], place_on(rates, columns, trials[i].rate), place_on(hidden, rows, trials[i].hidden),
              worst, i == 0);
  fprintf(file, "</svg>\n");
  return fclose(file);
}

int main(void) {
  for (int found = 1; found && count < TRIALS_MAX; count += found)
    if ((found = read_trial(count, &trials[count])) < 0) return fail("a shard's metrics.json");
  errno = ENOENT;
  if (!count) return fail("/sweep/shard-0");
  qsort(trials, count, sizeof *trials, is_better);
  if (write_table() || write_best() || write_plot()) return fail("/results");
  printf("%d trainings; the best reads %.2f %% with %d hidden neurons and rate %g (shard %d)\n", count,
         100 * trials[0].accuracy, trials[0].hidden, trials[0].rate, trials[0].shard);
  return 0;
}
