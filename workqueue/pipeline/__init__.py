"""Batch ETL: what turns inputs into jobs."""
