"""Guests that run or should: started, stopped, waited for, looked after."""
