"""What tests share: builders and a run over a simulated world. No claims are made here."""
