/* time: day */ -- nothing
