"""The command 'segtune models': what there is to choose from."""

import timm
from rich.table import Table

from segtune.console import output
from segtune.errors import UserError, nearest
from segtune.models.catalog import MODELS
from segtune.models.smp_decoders import DECODERS, PACKAGED_ENCODER, encoder_facts


def print_models() -> None:
    """Print the catalogue."""
    table = Table(title="Models", title_justify="left")
    for column in ("--model", "weights of --weights auto", "their licence"):
        table.add_column(column, overflow="fold")
    for name, entry in MODELS.items():
        table.add_row(name, entry.weights, entry.licence)
    packaged = encoder_facts(PACKAGED_ENCODER)
    table.add_row(f"DECODER:{PACKAGED_ENCODER}", f"{packaged.weights}, no download", packaged.licence)
    table.add_row("DECODER:ENCODER", "timm's for the encoder", "see 'segtune models WORD'")
    output.print(table)
    output.print(f"DECODER is one of {', '.join(DECODERS)};")
    output.print(
        f"ENCODER one of timm's {len(timm.list_models())}: 'segtune models resnet' lists those with that word."
    )


def print_encoders(word: str) -> None:
    """Print timm's encoders whose name contains ``word``.

    Raises:
        UserError: There are none.
    """
    names = [name for name in [PACKAGED_ENCODER, *timm.list_models()] if word.lower() in name]
    if not names:
        hint = nearest(word, timm.list_models())
        raise UserError(f"timm has no encoder whose name contains {word!r}.", hint)
    table = Table(title=f"Encoders with {word!r}, for DECODER:ENCODER", title_justify="left")
    for column in ("encoder", "weights", "licence"):
        table.add_column(column)
    for name in dict.fromkeys(names):
        facts = encoder_facts(name)
        table.add_row(name, facts.weights, facts.licence)
    output.print(table)
