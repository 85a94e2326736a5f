"""The desk at which layers are judged: cases are drawn, experiments acted out, records judged, findings collected."""
