"""Runtimes: a model file of any format -> a ``Backend``; and a ``Model`` -> the files of other runtimes."""
