"""The experiments: each acts a case out once and hands a record to the judges. Nothing is judged here."""
