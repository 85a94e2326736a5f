"""The conformance suite: experiments that act a case out, and judges that compare the record with the specification."""
