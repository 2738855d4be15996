// SPDX-License-Identifier: GPL-2.0-only
/* Tables for people and, with --json, for programs. */
#include <err.h>
#include <getopt.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "infiniswapctl.h"

#define MAX_COLUMNS	32

struct table {
	struct libscols_table *scols;
	const struct table_format *format;
	const struct column *column[MAX_COLUMNS];	/* as printed */
	size_t columns;
};

static void usage(const char *text, const struct column *columns)
{
	printf("Usage: infiniswapctl %s\n\n"
	       "Options:\n"
	       "  -J, --json             print JSON, sizes in bytes\n"
	       "  -o, --output COLUMNS   print these columns (comma-separated)\n"
	       "  -b, --bytes            print sizes in bytes\n"
	       "  -n, --noheadings       do not print headings\n"
	       "  -r, --raw              print columns without alignment\n"
	       "  -h, --help             this text\n\n"
	       "Columns:\n", text);
	for (; columns->name; columns++)
		printf("  %-11s %s\n", columns->name, columns->help);
}

int table_options(int argc, char **argv, const char *text,
		  const struct column *columns, struct table_format *format)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "output", required_argument, NULL, 'o' },
		{ "bytes", no_argument, NULL, 'b' },
		{ "noheadings", no_argument, NULL, 'n' },
		{ "raw", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "Jo:bnrh", options, NULL)) >= 0) {
		switch (opt) {
		case 'J':
			format->json = true;
			format->bytes = true;	/* numbers, for programs */
			break;
		case 'o':
			format->columns = optarg;
			break;
		case 'b':
			format->bytes = true;
			break;
		case 'n':
			format->noheadings = true;
			break;
		case 'r':
			format->raw = true;
			break;
		case 'h':
			usage(text, columns);
			return CTL_OK;
		default:
			return try_help();
		}
	}
	return -1;
}

static const struct column *column_find(const struct column *columns,
					const char *name)
{
	for (; columns->name; columns++) {
		if (!strcasecmp(columns->name, name))
			return columns;
	}
	return NULL;
}

static bool columns_all(struct table *table, const struct column *columns)
{
	for (; columns->name; columns++)
		table->column[table->columns++] = columns;
	return true;
}

static bool columns_named(struct table *table, const struct column *columns,
			  const char *list)
{
	char *copy __free_str = xstrdup(list);
	char *name, *rest = copy;
	const struct column *column;

	while ((name = strsep(&rest, ","))) {
		column = column_find(columns, name);
		if (!column) {
			misused("%s: no such column", name);
			return false;
		}
		if (table->columns == MAX_COLUMNS) {
			misused("%s: too many columns", list);
			return false;
		}
		table->column[table->columns++] = column;
	}
	return true;
}

static void column_add(struct table *table, const struct column *column)
{
	struct libscols_column *cl;

	cl = scols_table_new_column(table->scols, column->name, 0,
				    column->number ? SCOLS_FL_RIGHT : 0);
	if (!cl)
		errx(CTL_FAILED, "out of memory");
	scols_column_set_json_type(cl, column->number ? SCOLS_JSON_NUMBER :
							SCOLS_JSON_STRING);
}

struct table *table_new(const char *name, const struct column *columns,
			const struct table_format *format)
{
	struct table *table = xreallocarray(NULL, 1, sizeof(*table));

	table->format = format;
	table->columns = 0;
	if (!(format->columns ? columns_named(table, columns, format->columns) :
				columns_all(table, columns))) {
		free(table);
		return NULL;
	}
	table->scols = scols_new_table();
	if (!table->scols)
		errx(CTL_FAILED, "out of memory");
	scols_table_set_name(table->scols, name);
	scols_table_enable_json(table->scols, format->json);
	scols_table_enable_noheadings(table->scols, format->noheadings);
	scols_table_enable_raw(table->scols, format->raw);
	for (size_t i = 0; i < table->columns; i++)
		column_add(table, table->column[i]);
	return table;
}

void table_add(struct table *table, const struct row *row)
{
	struct libscols_line *line;
	char *value;

	line = scols_table_new_line(table->scols, NULL);
	if (!line)
		errx(CTL_FAILED, "out of memory");
	for (size_t i = 0; i < table->columns; i++) {
		value = table->column[i]->get(row, table->format);
		if (value && scols_line_refer_data(line, i, value))
			errx(CTL_FAILED, "out of memory");
	}
}

void table_print(struct table *table)
{
	scols_print_table(table->scols);
	scols_unref_table(table->scols);
	free(table);
}
