"""The lines of JSON Lines files, for tests of batches."""

from beam_batch_predict.sinks.formats.json_lines import JsonLineRecords
from beam_batch_predict.spec import NonFinite, OutputSettings, RecordShape


def prediction_lines(batch, non_finite=NonFinite.STRING, shape=RecordShape.ECHO):
    output = OutputSettings(shape=shape, non_finite=non_finite)
    return JsonLineRecords(output).prediction_lines(batch)


def error_lines(batch, non_finite=NonFinite.STRING):
    return JsonLineRecords(OutputSettings(non_finite=non_finite)).error_lines(batch)
