"""Sums a table of readings: a summary, a plot, and one table for each station in a directory of its own."""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input-file", default="readings.csv")
    parser.add_argument("--value", default="temperature", help="the column to sum up")
    return parser.parse_args()


def main():
    options = arguments()
    readings = pd.read_csv(options.input_file, parse_dates=["day"])
    print(f"{len(readings)} readings from {readings['station'].nunique()} stations")

    summary = readings.groupby("station")[options.value].agg(["count", "mean", "min", "max"]).round(2)
    summary.to_csv("summary.csv")
    print(summary.to_string())

    figure, axes = plt.subplots(figsize=(7, 4))
    for station, rows in readings.groupby("station"):
        axes.plot(rows["day"], rows[options.value], marker="o", markersize=3, label=station)
    axes.set_ylabel(options.value)
    axes.legend()
    figure.autofmt_xdate()
    figure.savefig("plot.png", dpi=100)

    tables = pathlib.Path("stations")
    tables.mkdir()
    for station, rows in readings.groupby("station"):
        rows.to_csv(tables / f"{station}.csv", index=False)


if __name__ == "__main__":
    main()
