"""How good a generator is: classifier accuracy, swap consistency, variety and Frechet distance on Postcards."""
