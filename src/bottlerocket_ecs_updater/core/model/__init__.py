"""The values that decisions are made from: fleet, instances, claims, versions, reasons and events."""
